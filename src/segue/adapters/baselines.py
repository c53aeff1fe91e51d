"""What adapters are measured against: full fine-tuning, the head alone, prompt tuning."""

from __future__ import annotations

from copy import deepcopy
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.adapters.base import Adapter, describe_model, detach, site_path, sites_like
from segue.adapters.links import After, Instead, width_of
from segue.core.errors import ConfigError
from segue.core.segmenter import Segmenter


class _TrainedCopies(Adapter):
    """Trained copies of submodules in the place of the originals, so that disabling is exact and saving is alike."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[str, nn.Module] = {}  # by path

    def place_copy(self, model: Segmenter, name: str, path: str, layers: nn.ModuleDict | None = None) -> None:
        copy = deepcopy(model.module.get_submodule(path))
        self.copies[path] = copy
        (self.layers if layers is None else layers)[name.replace(".", "/")] = copy
        self.links[path] = lambda base: Instead(base, copy)

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for batch norms: fine-tuning batches are too small to measure statistics anew."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self


def bake(model: Segmenter, adapter: _TrainedCopies) -> Segmenter:
    """Take a trained copy off and put its weights into the base for good, so that other adapters can build on it."""
    detach(model, adapter)
    for path, copy in adapter.copies.items():
        model.module.get_submodule(path).load_state_dict(copy.state_dict())
    return model


class Full(_TrainedCopies):
    """Every weight of the model: end-to-end fine-tuning, the upper bound of VLSM-Adapter's table 1."""

    kind = "full"

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        self._copy_children(model, model.module, self.layers, "")
        loose = [name for name, _ in model.module.named_parameters(recurse=False)]
        if loose or not self.layers:
            raise ConfigError(
                f"{describe_model(model)} with parameters outside its submodules ({', '.join(loose)})",
                "a model whose weights all live in submodules",
                "use lora or head",
            )

    def _copy_children(self, model: Segmenter, module: nn.Module, layers: nn.ModuleDict, prefix: str) -> None:
        """Copy what has weights; of a model inside a wrapper its own children."""
        for name, child in module.named_children():
            if isinstance(child, Segmenter):
                layers[name] = inner = nn.ModuleDict()
                self._copy_children(model, child, inner, f"{prefix}{name}.")
            elif any(True for _ in child.parameters()):
                self.place_copy(model, name, f"{prefix}{name}", layers)


class Head(_TrainedCopies):
    """The sites named ``head`` or ``head.*``: what turns features into a mask."""

    kind = "head"

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        for site in sites_like(model, "head", needed_by="head"):
            self.place_copy(model, site, site_path(model, site))


class PromptGrid(nn.Module):
    """A learned map added to tokens (b, n, c) or a map (b, c, h, w); zero at first.

    A grid of ``cells`` x ``cells`` values per channel, interpolated to the input's own grid; one more value
    when tokens come with a class token.

    >>> PromptGrid(8, 2)(torch.ones(1, 10, 8)).shape
    torch.Size([1, 10, 8])
    """

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.zeros(1, channels, cells, cells))
        self.everywhere = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 4:
            return x + self._sized(x.shape[-2], x.shape[-1])
        side = int(x.shape[1] ** 0.5)
        added = self._sized(side, side).flatten(2).transpose(1, 2)
        extra = x.shape[1] - added.shape[1]
        if extra:
            whole = self.everywhere.flatten(2).transpose(1, 2).expand(-1, extra, -1)
            added = torch.cat((whole, added), 1)
        return x + added

    def _sized(self, height: int, width: int) -> Tensor:
        return self.everywhere + F.interpolate(self.grid, (height, width), mode="bilinear", align_corners=False)


class VisualPrompt(Adapter):
    """Prompt tuning: a learned grid at the site ``vision.embedding`` or ``patch_embed``.

    Source: Jia et al., Visual Prompt Tuning, ECCV 2022, the "add" location of its ablation; prepended tokens
    would change the windows of windowed attention.
    """

    kind = "prompt"

    def __init__(self, model: Segmenter, cells: int = 14) -> None:
        super().__init__(cells=cells)
        for site in sites_like(model, "vision.embedding", "patch_embed", needed_by="prompt"):
            channels = width_of(model.module.get_submodule(site_path(model, site)))
            self.place(model, site, After, PromptGrid(channels, cells))
