"""InterFormer's tables (Huang et al., ICCV 2023)."""

from __future__ import annotations

from typing import Any

from segue.jobs.studies.clicks import by_clicks, click_columns, cost_column
from segue.jobs.studies.table import Column, Row, Study

_PAPER = "Huang et al., ICCV 2023"
_OWN_RULE = {"threshold": 0.5}


def _ours(label: str, name: str, *published: float | None, view: str = "own") -> Row:
    settings: dict[str, Any] = {**_OWN_RULE, "view": view}
    return Row(label, published, f"interformer-{name}", f"interformer_{name}_coco_lvis_320k.pth", settings=settings)


TABLE_2 = Study(
    "InterFormer: clicks to an IoU, and what a click costs",
    f"{_PAPER}, table 2",
    (
        Column("GrabCut NoC90", "NoC90", by_clicks, "GrabCut"),
        Column("Berkeley NoC90", "NoC90", by_clicks, "Berkeley"),
        *click_columns(("SBD",)),
        Column("DAVIS NoC90", "NoC90", by_clicks, "DAVIS"),
        cost_column("PIE 1e-7", "PIE", digits=1),
        cost_column("SPC s", "SPC"),
        cost_column("clicks alone PIE", "PIE clicks", digits=1),
        cost_column("clicks alone SPC", "SPC clicks"),
    ),
    (
        Row("RITM HRNet-32", (1.56, 2.10, 3.59, 5.71, 5.34, 36.9, 0.59, None, None)),
        Row("FocalClick SegF-B3-S2", (1.50, 1.92, 3.53, 5.59, 4.90, 46.1, 0.30, None, None)),
        _ours("InterFormer-Light", "light", 1.50, 3.14, 3.78, 6.34, 6.19, 8.9, 0.23, 7.1, 0.19, view="whole"),
        _ours("InterFormer-Tiny + zoom-in", "tiny", 1.40, 2.78, 3.56, 5.89, 5.52, 15.9, 0.42, 9.1, 0.24),
        _ours("InterFormer-Tiny", "tiny", 1.36, 2.53, 3.25, 5.51, 5.21, 18.9, 0.50, 12.3, 0.32, view="whole"),
    ),
    note="All trained on COCO + LVIS. Seconds were published from the authors' CPU; ours are from this machine, with "
    "512 x 512 pixels. Masks are the larger of two logits, InterFormer's own rule.",
)


def _ablated(label: str, file: str, *published: float, model: str = "interformer-light") -> Row:
    return Row(label, published, model, file, settings=_OWN_RULE)


TABLE_3 = Study(
    "InterFormer: backbone, interactive module and click sampling ablated, 40,000 steps",
    f"{_PAPER}, table 3",
    click_columns(("SBD",)),
    (
        _ablated("ViT-B-FPN, RITM's sampling", "vit-b-fpn-ritm.safetensors", 7.53, 10.70),
        _ablated("ViT-B-I-MSA-Light, RITM's sampling", "vit-b-light-ritm.safetensors", 5.38, 8.27),
        _ablated("ViT-B-I-MSA-Light, simple sampling", "vit-b-light-simple.safetensors", 5.35, 8.34),
        _ablated("ViT-L-I-MSA-Light, simple sampling", "vit-l-light-simple.safetensors", 4.80, 7.71),
    ),
    note="The paper publishes no weights of these: train them with the rows' changes to the recipe (docs/training.md), "
    "and name each model's folder with --weights.",
)
