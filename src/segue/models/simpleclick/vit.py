"""The plain Vision Transformer with window attention, as SimpleClick uses it.

Parameter names are those of the published MAE and SimpleClick checkpoints, the unused ones included
(``cls_token``, ``pos_embed[:, 0]``, ``fc_norm``, ``head``), so that those files load without remapping.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.nn.vit import SelfAttention, cut_windows, join_windows, resize_position_embedding, to_map, window_counts


class PatchEmbed(nn.Module):
    """Cut an image (b, c, H, W) into patches and project each: (b, H/p * W/p, dim), row-major.

    >>> PatchEmbed((16, 16), 3, 8)(torch.zeros(1, 3, 32, 48)).shape
    torch.Size([1, 6, 8])
    """

    def __init__(self, patch_size: Sequence[int], channels: int, dim: int) -> None:
        super().__init__()
        patch = (int(patch_size[0]), int(patch_size[1]))
        self.proj = nn.Conv2d(channels, dim, kernel_size=patch, stride=patch)

    def forward(self, image: Tensor) -> Tensor:
        tokens: Tensor = self.proj(image)
        return tokens.flatten(2).transpose(1, 2)


class ViTMlp(nn.Module):
    """Two linear layers with the exact GELU between them, on (..., dim).

    >>> ViTMlp(8, 32)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class ViTBlock(nn.Module):
    """Pre-norm transformer block on tokens (b, n, dim).

    Source: Dosovitskiy et al. 2021, equations 2-3; LayerNorm's epsilon is 1e-6 as in MAE.

    >>> ViTBlock(8, heads=2)(torch.zeros(1, 5, 8)).shape
    torch.Size([1, 5, 8])
    """

    def __init__(self, dim: int, heads: int, mlp_ratio: float = 4.0, qkv_bias: bool = True) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = SelfAttention(dim, heads, qkv_bias)
        self.mlp = ViTMlp(dim, int(dim * mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


class VisionTransformer(nn.Module):
    """A plain ViT whose blocks attend within windows of 224 x 224 pixels except the last of each group.

    Groups have depth / 4 blocks, with the published exception that depth 12 has groups of 6
    (SimpleClick's code; its slides say "non-shifting window attention"). ``windowed=False`` makes every block
    global. Inputs of another size than ``img_size`` get the position embedding resized bicubically.

    >>> vit = VisionTransformer((32, 32), (16, 16), dim=8, depth=4, heads=2, classes=1)
    >>> maps = vit(torch.zeros(1, 3, 32, 48))
    >>> len(maps), maps[-1].shape
    (1, torch.Size([1, 8, 2, 3]))
    """

    def __init__(
        self,
        img_size: Sequence[int],
        patch_size: Sequence[int],
        dim: int,
        depth: int,
        heads: int,
        *,
        channels: int = 3,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        classes: int = 1000,
        windowed: bool = True,
    ) -> None:
        super().__init__()
        self.patch = (int(patch_size[0]), int(patch_size[1]))
        self.grid = (img_size[0] // self.patch[0], img_size[1] // self.patch[1])
        self.group = 6 if depth == 12 else max(1, depth // 4)
        self.windowed = windowed
        self.patch_embed = PatchEmbed(self.patch, channels, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1] + 1, dim))
        self.blocks = nn.Sequential(*(ViTBlock(dim, heads, mlp_ratio, qkv_bias) for _ in range(depth)))
        self.fc_norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, classes)
        self._init_weights()

    def _init_weights(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.data.flatten(1))
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.pos_embed, std=0.02)

    def forward(self, image: Tensor, extra: Tensor | None = None, taps: Sequence[int] = ()) -> list[Tensor]:
        """Feature maps (b, dim, H/p, W/p) after the block counts in ``taps`` and, always last, after all blocks.

        ``image`` (b, channels, H, W) is already normalised; ``extra`` (b, n, dim) is added to the patch tokens
        (the click embedding).
        """
        grid = (image.shape[-2] // self.patch[0], image.shape[-1] // self.patch[1])
        tokens = self.patch_embed(image)
        if extra is not None:
            tokens = tokens + extra
        tokens = tokens + resize_position_embedding(self.pos_embed[:, 1:], self.grid, grid)
        return self._run_blocks(tokens, grid, set(taps))

    def _run_blocks(self, tokens: Tensor, grid: tuple[int, int], taps: set[int]) -> list[Tensor]:
        windows = window_counts(grid, self.patch) if self.windowed else (1, 1)
        maps: list[Tensor] = []
        cut = False
        for count, block in enumerate(self.blocks, start=1):
            is_global = count % self.group == 0
            if cut and is_global:
                tokens, cut = join_windows(tokens, grid, windows), False
            elif not cut and not is_global:
                tokens, cut = cut_windows(tokens, grid, windows), True
            tokens = block(tokens)
            if count in taps and count < len(self.blocks):
                maps.append(to_map(join_windows(tokens, grid, windows) if cut else tokens, grid))
        maps.append(to_map(join_windows(tokens, grid, windows) if cut else tokens, grid))
        return maps
