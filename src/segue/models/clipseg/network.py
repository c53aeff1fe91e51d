"""The tensors of CLIPSeg: two CLIP towers tapped on their way, and a small decoder conditioned on the prompt.

transformers holds the weights, under its own keys; the passes are written out here, because its ``forward``
runs both towers without gradients and its layers' signatures (causal mask included) changed between versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from segue.nn.vit import attend


class Tap(nn.Identity):
    """A place where ``width`` channels pass unchanged, so that an adapter has somewhere to stand.

    >>> Tap(8)(torch.ones(1, 2, 8)).shape
    torch.Size([1, 2, 8])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width


class ZeroTap(nn.Module):
    """A branch that adds nothing: (b, width) -> zeros (b, outputs), until an adapter stands beside it.

    >>> ZeroTap(4, 2)(torch.ones(3, 4)).sum().item()
    0.0
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.width, self.outputs = width, outputs

    def forward(self, state: Tensor) -> Tensor:
        return state.new_zeros((*state.shape[:-1], self.outputs))


class SideSite(nn.Module):
    """Where a side network may stand: the taps (list of (b, 1 + h*w, width)) pass unchanged, beside the image
    (b, 3, H, W) and the tower's stem, its state before the first layer.

    ``patch`` and ``cells`` are the tower's patch size and its grid's side. A network there may append a state.

    >>> len(SideSite(8, 16, 2)([torch.zeros(1, 5, 8)], torch.zeros(1, 3, 32, 32), torch.zeros(1, 5, 8)))
    1
    """

    def __init__(self, width: int, patch: int, cells: int) -> None:
        super().__init__()
        self.width, self.patch, self.cells = width, patch, cells

    def forward(self, taps: list[Tensor], pixels: Tensor, stem: Tensor) -> list[Tensor]:
        return taps


class ClipSegDecoder(nn.Module):
    """CLIPSeg's decoder (its figure 2): reduced taps, deepest first, conditioned by FiLM, then upsampled.

    The submodules are those of transformers' ``CLIPSegDecoder``, under the same names.
    """

    def __init__(self, decoder: Any) -> None:
        super().__init__()
        self.conditional_layer = int(decoder.conditional_layer)
        self.film_mul, self.film_add = decoder.film_mul, decoder.film_add
        self.reduces, self.layers = decoder.reduces, decoder.layers
        self.transposed_convolution = decoder.transposed_convolution

    def forward(self, taps: Sequence[Tensor], condition: Tensor, grid: tuple[int, int]) -> Tensor:
        """As ``ClipSegNet.decode``."""
        x: Tensor | None = None
        for i, (tap, layer, reduce) in enumerate(zip(reversed(taps), self.layers, self.reduces, strict=True)):
            x = reduce(tap) if x is None else reduce(tap) + x
            if i == self.conditional_layer:
                x = self.film_mul(condition)[:, None] * x + self.film_add(condition)[:, None]
            x = decoder_layer(layer, x)
        assert x is not None
        cells = x[:, 1:].transpose(1, 2).reshape(len(x), -1, *grid)
        logits: Tensor = self.transposed_convolution(cells)
        return logits


class ClipSegNet(nn.Module):
    """CLIPSeg (Lüddecke and Ecker 2022, section 3) around transformers' ``CLIPSegForImageSegmentation``.

    ``vision`` runs once per image, ``text`` or ``example`` once per prompt, ``decode`` once per pair.

    >>> from transformers import CLIPSegConfig, CLIPSegForImageSegmentation
    >>> small = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2)
    >>> config = CLIPSegConfig(
    ...     text_config=small | dict(vocab_size=9, eos_token_id=8, max_position_embeddings=5),
    ...     vision_config=small | dict(image_size=32, patch_size=16), projection_dim=16, reduce_dim=8,
    ...     extract_layers=[0, 1], decoder_num_attention_heads=2, decoder_intermediate_size=8)
    >>> net = ClipSegNet(CLIPSegForImageSegmentation(config))
    >>> taps = net.vision(torch.zeros(1, 3, 32, 48))
    >>> condition = net.text(torch.tensor([[7, 1, 8]]))
    >>> net.decode(taps, condition, (2, 3)).shape
    torch.Size([1, 1, 32, 48])
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        config = net.config
        self.config = config
        self.clip = net.clip
        self.decoder = ClipSegDecoder(net.decoder)
        self.patch = int(config.vision_config.patch_size)
        self.extract = tuple(int(i) for i in config.extract_layers)
        self.eos = int(config.text_config.eos_token_id)
        text, shared = config.text_config.hidden_size, config.projection_dim
        self.vision_taps = nn.ModuleList(Tap(config.vision_config.hidden_size) for _ in self.extract)
        self.text_taps = nn.ModuleList(ZeroTap(text, shared) for _ in self.extract)
        self.condition = Tap(shared)
        side = int(config.vision_config.image_size)
        self.beside = SideSite(config.vision_config.hidden_size, self.patch, side // self.patch)

    def vision(self, pixels: Tensor) -> list[Tensor]:
        """Normalised image (b, 3, H, W) -> one state (b, 1 + H/p * W/p, c) per tapped layer, class token first.

        Layers beyond the deepest tap do not run: the decoder never sees them.
        """
        states = self._vision_states(pixels, max(self.extract) + 1)
        taps = [tap(states[i + 1]) for tap, i in zip(self.vision_taps, self.extract, strict=True)]
        tapped: list[Tensor] = self.beside(taps, pixels, states[0])
        return tapped

    def example(self, pixels: Tensor) -> Tensor:
        """Normalised image of an example (b, 3, H, W) -> condition (b, d): CLIPSeg's visual prompt."""
        tower = self.clip.vision_model
        last = self._vision_states(pixels, len(tower.encoder.layers))[-1]
        out: Tensor = self.condition(self.clip.visual_projection(tower.post_layernorm(last[:, 0])))
        return out

    def text(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Token ids (b, t) and, where texts are padded, ``mask`` (b, t) with 1 for real ones -> condition (b, d)."""
        tower = self.clip.text_model
        x = tower.embeddings(input_ids=ids)
        allowed = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()[None, None]
        if mask is not None:
            allowed = allowed & mask.bool()[:, None, None, :]
        rows, end = torch.arange(len(ids), device=ids.device), self._end(ids)
        ends = []
        for layer in tower.encoder.layers:
            x = encoder_layer(layer, x, allowed)
            ends.append(x[rows, end])
        projected = self.clip.text_projection(tower.final_layer_norm(ends[-1]))
        condition: Tensor = self.condition(projected)
        for tap, i in zip(self.text_taps, self.extract, strict=True):
            condition = condition + tap(ends[min(i, len(ends) - 1)])
        return condition

    def decode(self, taps: Sequence[Tensor], condition: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tapped states (b, 1 + h*w, c), conditions (b, d) and the patch grid (h, w) -> logits (b, 1, h*p, w*p)."""
        logits: Tensor = self.decoder(taps, condition, grid)
        return logits

    def _vision_states(self, pixels: Tensor, layers: int) -> list[Tensor]:
        tower = self.clip.vision_model
        states = [tower.pre_layrnorm(tower.embeddings(pixels, interpolate_pos_encoding=True))]
        for layer in tower.encoder.layers[:layers]:
            states.append(encoder_layer(layer, states[-1]))
        return states

    def _end(self, ids: Tensor) -> Tensor:
        if self.eos == 2:  # configurations from before transformers' fix: the end is the highest id
            return ids.argmax(-1)
        return (ids == self.eos).int().argmax(-1)


def self_attention(attention: Any, x: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Multi-head attention of transformers' projections over x (b, n, c); ``allowed`` (b or 1, 1, n, n) is true
    where a query may look."""
    query, key, value = attention.q_proj(x), attention.k_proj(x), attention.v_proj(x)
    out: Tensor = attention.out_proj(attend(query, key, value, attention.num_heads, allowed))
    return out


def encoder_layer(layer: Any, x: Tensor, allowed: Tensor | None = None) -> Tensor:
    """CLIP's layer: norms before attention and perceptron."""
    x = x + self_attention(layer.self_attn, layer.layer_norm1(x), allowed)
    out: Tensor = x + layer.mlp(layer.layer_norm2(x))
    return out


def decoder_layer(layer: Any, x: Tensor) -> Tensor:
    """CLIPSeg's decoder layer: norms after attention and perceptron."""
    x = layer.layer_norm1(x + self_attention(layer.self_attn, x))
    out: Tensor = layer.layer_norm2(x + layer.mlp(x))
    return out
