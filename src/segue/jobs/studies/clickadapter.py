"""ClickAdapter's tables (Li et al.); of tables I and II only the captions are at hand."""

from __future__ import annotations

from typing import Any

from segue.jobs.studies.clicks import by_clicks, click_columns, cost_column
from segue.jobs.studies.table import Column, Row, Study

_PAPER = "Li et al., ClickAdapter"
_BASE = "cocolvis_vit_base.pth"
_VIEW = {"view": "simpleclick"}


def _cost(label: str, model: str, *published: float | None, adapter: str = "", side: int = 448) -> Row:
    settings: dict[str, Any] = {"side": side, **({"adapter": adapter} if adapter else {})}
    return Row(label, published, model, settings=settings)


TABLE_3 = Study(
    "ClickAdapter: parameters, operations, milliseconds per click",
    f"{_PAPER}, table III",
    (cost_column("parameters M", "parameters"), cost_column("GMAC", "GMAC"), cost_column("ms", "ms", digits=0)),
    (
        _cost("SimpleClick-ViT-B", "simpleclick-base", 96.46, 84.89, 162),
        _cost("SimpleClick-ViT-L", "simpleclick-large", 322.18, 266.44, 300),
        _cost("SimpleClick-ViT-H", "simpleclick-huge", 659.39, 700.96, 585),
        _cost("ours, B0", "segformer-b0-click", 7.06, 9.54, 31, adapter="detail"),
        _cost("ours, B3", "segformer-b3-click", 58.77, 49.95, 103, adapter="detail"),
        _cost("ours, ViT-B", "simpleclick-base", 128.65, 148.74, 195, adapter="detail"),
        _cost("ours, ViT-L", "simpleclick-large", 378.30, 390.19, 310, adapter="detail"),
    ),
    note="Multiply-adds: the paper calls them FLOPs, its SimpleClick figures are half of the slides'. The paper prints "
    "SimpleClick-ViT-B's two figures in each other's column. Milliseconds are those of the machine.",
)

TABLE_4 = Study(
    "ClickAdapter: adapter, LoRA and full training",
    f"{_PAPER}, table IV",
    (cost_column("parameters M", "parameters"), Column("mbIoU@10", "mbIoU@10", by_clicks, "COIFT", digits=1)),
    tuple(
        Row(
            f"{kind}, ViT-{size[0].upper()}",
            published,
            f"simpleclick-{size}",
            f"cocolvis_vit_{size}.pth",
            f"hqseg44k-{folder}-{size}",
            _VIEW,
        )
        for kind, folder, size, published in (
            ("full", "full", "base", (96.72, 84.6)),
            ("LoRA", "lora", "base", (114.15, 78.9)),
            ("ours", "detail", "base", (128.65, 87.6)),
            ("full", "full", "large", (322.42, 86.1)),
            ("LoRA", "lora", "large", (382.58, 86.3)),
            ("ours", "detail", "large", (378.30, 90.7)),
        )
    ),
    note="The paper does not say on which data mbIoU was measured; COIFT here. Train the adapters on HQSeg44K with "
    "segue adapt --schedule published and put their folders, named as the cells say, under --weights.",
)

TABLE_5 = Study(
    "ClickAdapter: boundary clicks after training on parts of HQSeg44K",
    f"{_PAPER}, table V",
    click_columns(("COIFT", "DAVIS"), ("bNoC85", "bNoC90")),
    tuple(
        Row(f"{label}, {part}", published, "simpleclick-base", _BASE, f"hqseg44k-{part}-{folder}", _VIEW)
        for label, folder, part, published in (
            ("full", "full", "500", (4.79, 12.09, 8.10, 12.68)),
            ("LoRA", "lora", "500", (4.14, 10.74, 7.85, 12.10)),
            ("ours", "detail", "500", (3.98, 10.07, 7.25, 10.41)),
            ("full", "full", "1000", (4.22, 10.78, 7.67, 11.39)),
            ("LoRA", "lora", "1000", (4.06, 9.10, 7.42, 12.21)),
            ("ours", "detail", "1000", (3.21, 8.64, 6.83, 10.21)),
            ("full", "full", "2000", (3.98, 10.22, 7.50, 11.19)),
            ("LoRA", "lora", "2000", (3.45, 9.19, 7.60, 10.92)),
            ("ours", "detail", "2000", (3.22, 8.60, 6.84, 10.12)),
            ("full", "full", "all", (3.67, 9.86, 7.26, 11.21)),
            ("LoRA", "lora", "all", (3.40, 9.92, 7.32, 11.09)),
            ("ours", "detail", "all", (3.10, 8.50, 6.66, 9.99)),
        )
    ),
    note="The adapters are yours to train; their folders, named as the cells say, are looked for under --weights.",
)

TABLE_6 = Study(
    "ClickAdapter: early layers, parts and fusions ablated",
    f"{_PAPER}, table VI",
    click_columns(("DAVIS", "COIFT"), ("NoC85", "NoC90", "RoF85")),
    tuple(
        Row(label, published, "simpleclick-base", _BASE, adapter, _VIEW)
        for label, adapter, published in (
            ("SimpleClick-B", "", (4.83, 6.47, 10.02, 2.88, 3.76, 8.93)),
            ("stage 0 layer 0", "detail-early-0", (3.55, 4.82, 6.95, 1.93, 3.09, 8.57)),
            ("stage 0 layer 1", "detail-early-1", (3.48, 4.85, 7.25, 1.96, 3.00, 3.21)),
            ("stage 0 layer 2", "detail-early-2", (3.48, 4.86, 4.06, 1.86, 2.88, 2.14)),
            ("stage 1 layer 2", "detail-early-5", (4.02, 5.44, 8.70, 2.28, 3.06, 8.57)),
            ("stage 2 layer 2", "detail-early-8", (3.93, 5.92, 9.27, 2.20, 3.24, 8.21)),
            ("early features only", "detail-sources-early", (4.22, 5.65, 7.65, 2.17, 3.49, 5.71)),
            ("spatial prior only", "detail-sources-prior", (3.81, 5.11, 6.56, 2.23, 3.44, 5.00)),
            ("added", "detail-mixing-add", (3.57, 4.85, 6.37, 2.06, 2.91, 5.00)),
            ("concatenated", "detail-mixing-concat", (3.54, 4.91, 7.25, 2.00, 3.17, 8.57)),
            ("cross-attention", "detail-mixing-cross", (3.63, 4.96, 7.83, 1.97, 2.92, 4.29)),
            ("two-way attention", "detail-mixing-two-way", (3.48, 4.86, 4.06, 1.86, 2.88, 2.14)),
        )
    ),
    note="Trained on COCO + LVIS with the settings that the folders' names say. The paper's baseline differs from "
    "SimpleClick's own table.",
)
