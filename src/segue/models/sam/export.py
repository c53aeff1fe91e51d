"""The SAM family as tensor-only graphs, with the names that browsers and annotation tools already know.

Source: segment-anything's ONNX contract (``utils/onnx.py``): inputs and outputs of the decoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segue.core.segmenter import ExportGraph
from segue.models.sam.network import Kind, companions, embed, input_side, is_squashed, low_res_side
from segue.nn.tracing import Traced

OUTPUTS = ("masks", "iou_predictions", "low_res_masks")


class DecoderGraph(nn.Module):
    """One question to one image.

    ``point_labels``: 1 object, 0 background, 2 and 3 corners of a box, -1 padding. ``point_coords`` are in
    pixels of the resized image. Four candidates come back, the single-mask token's first, as SAM's own
    ``return_single_mask=False`` graph has them; callers take 0 after several prompts and the best of 1..3
    after one click.
    """

    net: Any

    def __init__(self, net: Any, kind: Kind) -> None:
        super().__init__()
        self.net, self.kind = net, kind

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        orig_im_size: Tensor,
        *more: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(1, c, h, w), (1, n, 2), (1, n), (1, 1, 4h, 4w), (1,), (2,) as (H, W), then the other maps of ``embed``
        -> masks (1, k, H, W) logits, scores (1, k), low-resolution logits (1, k, 4h, 4w)."""
        low, scores = self._decode(
            image_embeddings,
            self._points(point_coords, point_labels),
            self._mask(mask_input, has_mask_input, self.net.prompt_encoder),
            more,
        )
        return self._to_image(low, orig_im_size), scores, low

    def _points(self, coords: Tensor, labels: Tensor) -> Tensor:
        encoder = self.net.prompt_encoder
        side = input_side(self.net)
        where = encoder.shared_embedding(coords[:, None] + 0.5, (side, side))
        kinds = labels[:, None, :, None]
        embedded = torch.where(kinds == -1, encoder.not_a_point_embed.weight, where)
        table = encoder.point_embed
        for label in range(4):
            row: Any = table[label].weight if isinstance(table, nn.ModuleList) else table.weight[label : label + 1]
            embedded = embedded + row * (kinds == label)
        return embedded

    def _mask(self, mask: Tensor, present: Tensor, encoder: Any) -> Tensor:
        none = encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        given: Tensor = encoder.mask_embed(mask)
        dense: Tensor = present * given + (1 - present) * none
        return dense

    def _decode(
        self, embedding: Tensor, sparse: Tensor, dense: Tensor, more: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        names = ("early",) if self.kind == "sam_hq" else ("high0", "high1")
        common = {
            "image_embeddings": embedding,
            "image_positional_embeddings": self.net.get_image_wide_positional_embeddings(),
            "sparse_prompt_embeddings": sparse,
            "dense_prompt_embeddings": dense,
            **companions(self.kind, dict(zip(names, more, strict=False))),
        }
        three = self.net.mask_decoder(multimask_output=True, **common)
        one = self.net.mask_decoder(multimask_output=False, **common)
        return torch.cat((one[0][:, 0], three[0][:, 0]), 1), torch.cat((one[1][:, 0], three[1][:, 0]), 1)

    def _to_image(self, low: Tensor, size: Tensor) -> Tensor:
        height, width = size[0].to(torch.int64), size[1].to(torch.int64)
        if is_squashed(self.kind):
            return F.interpolate(low, (height, width), mode="bilinear", align_corners=False)  # type: ignore[arg-type]
        side = input_side(self.net)
        high = F.interpolate(low, (side, side), mode="bilinear", align_corners=False)
        scale = side / torch.max(size).float()
        rows, columns = (torch.floor(s * scale + 0.5).to(torch.int64) for s in (height, width))
        cut = high[..., :rows, :columns]
        return F.interpolate(cut, (height, width), mode="bilinear", align_corners=False)  # type: ignore[arg-type]


def export_graphs(net: Any, kind: Kind) -> Mapping[str, ExportGraph]:
    """``encoder`` and ``decoder`` of ``net``, with example inputs."""
    weight, side, low = next(net.parameters()), input_side(net), low_res_side(net)
    pixels = torch.zeros(1, 3, side, side, device=weight.device)
    with torch.no_grad():
        maps = embed(net, kind, pixels)
    others = {k: v for k, v in maps.items() if k != "embedding"}
    names = tuple("image_embeddings" if k == "embedding" else k for k in maps)
    inputs = {
        "image_embeddings": maps["embedding"],
        "point_coords": torch.tensor([[[side / 4, side / 4], [side / 3, side / 3]]]),
        "point_labels": torch.tensor([[1.0, 0.0]]),
        "mask_input": torch.zeros(1, 1, low, low),
        "has_mask_input": torch.zeros(1),
        "orig_im_size": torch.tensor([float(side), float(side * 3 // 4)]),
        **others,
    }
    encoder = Traced(net, lambda pixels: tuple(embed(net, kind, pixels).values()))
    # tracing fixes the batch of SAM 2's window attention
    free = {} if is_squashed(kind) else {"pixels": {0: "batch"}}
    return {
        "encoder": ExportGraph(encoder.train(net.training), {"pixels": pixels}, names, free),
        "decoder": ExportGraph(
            DecoderGraph(net, kind).train(net.training),
            {k: v.to(weight.device) for k, v in inputs.items()},
            OUTPUTS,
            {"point_coords": {1: "points"}, "point_labels": {1: "points"}},
        ),
    }
