"""SimpleClick's tables, from the slides of the talk (ICCV 2023)."""

from __future__ import annotations

from typing import Any

from segue.jobs.studies.clicks import by_clicks, click_columns, cost_column
from segue.jobs.studies.table import Column, Row, Study

_SLIDES = "Liu et al., ICCV 2023, slides"
_VIEW = {"view": "simpleclick"}
_SIZES = {"ViT-B": "base", "ViT-L": "large", "ViT-H": "huge"}


def _ours(size: str, trained: str, *published: float | None, settings: dict[str, Any] = _VIEW) -> Row:
    file = f"{'sbd' if trained == 'SBD' else 'cocolvis'}_vit_{_SIZES[size]}.pth"
    return Row(f"{size}, {trained}", published, f"simpleclick-{_SIZES[size]}", file, settings=settings)


MAIN = Study(
    "SimpleClick: clicks to an IoU on natural images",
    f"{_SLIDES}, comparison with previous results",
    click_columns(("GrabCut", "Berkeley", "SBD", "DAVIS", "Pascal VOC")),
    (
        Row("RITM HRNet-18, SBD", (1.76, 2.04, 1.87, 3.22, 3.39, 5.43, 4.94, 6.71, 2.51, 3.03)),
        Row("FocalClick SegF-B0, SBD", (1.66, 1.90, None, 3.14, 4.34, 6.51, 5.02, 7.06, None, None)),
        Row("FocusCut ResNet-101, SBD", (1.46, 1.64, 1.81, 3.01, 3.40, 5.31, 4.85, 6.22, None, None)),
        _ours("ViT-B", "SBD", 1.40, 1.54, 1.44, 2.46, 3.28, 5.24, 4.10, 5.48, 2.38, 2.81),
        _ours("ViT-L", "SBD", 1.38, 1.46, 1.40, 2.33, 2.69, 4.46, 4.12, 5.39, 1.95, 2.30),
        _ours("ViT-H", "SBD", 1.32, 1.44, 1.36, 2.09, 2.51, 4.15, 4.20, 5.34, 1.88, 2.20),
        Row("RITM HRNet-32, COCO + LVIS", (1.46, 1.56, 1.43, 2.10, 3.59, 5.71, 4.11, 5.34, 2.19, 2.57)),
        Row("FocalClick SegF-B3, COCO + LVIS", (1.44, 1.50, 1.55, 1.92, 3.53, 5.59, 3.61, 4.90, 2.46, 2.88)),
        _ours("ViT-B", "COCO + LVIS", 1.38, 1.48, 1.36, 1.97, 3.43, 5.62, 3.66, 5.06, 2.06, 2.38),
        _ours("ViT-L", "COCO + LVIS", 1.32, 1.40, 1.34, 1.89, 2.95, 4.89, 3.26, 4.81, 1.72, 1.96),
        _ours("ViT-H", "COCO + LVIS", 1.38, 1.50, 1.36, 1.75, 2.85, 4.70, 3.41, 4.78, 1.76, 1.98),
    ),
)

MEDICAL = Study(
    "SimpleClick: quality after some clicks on medical images",
    f"{_SLIDES}, out-of-domain evaluation",
    (
        Column("ssTEM mIoU@10", "mIoU@10", by_clicks, "ssTEM"),
        *(Column(f"{name} mIoU@{k}", f"mIoU@{k}", by_clicks, name) for name in ("BraTS", "OAIZIB") for k in (10, 20)),
    ),
    (
        Row("RITM HRNet-32, COCO + LVIS", (94.11, 88.34, 89.25, 75.27, 75.18)),
        _ours("ViT-B", "COCO + LVIS", 93.72, 86.98, 90.67, 76.05, 79.61),
        _ours("ViT-L", "COCO + LVIS", 94.34, 88.43, 90.84, 77.34, 79.97),
        _ours("ViT-H", "COCO + LVIS", 94.08, 88.98, 91.00, 77.50, 80.10),
    ),
)


def _cost(label: str, size: str, side: int, *published: float) -> Row:
    return Row(label, published, f"simpleclick-{size}", settings={"side": side})


COST = Study(
    "SimpleClick: parameters, operations, milliseconds per click",
    f"{_SLIDES}, towards a practical annotation tool",
    (
        cost_column("parameters M", "parameters"),
        cost_column("GFLOP", "GFLOP"),
        cost_column("ms per click", "ms", digits=0),
    ),
    (
        Row("RITM HRNet-18, 400", (10.03, 30.99, 56)),
        Row("FocalClick SegF-B3, 256", (45.66, 24.75, 53)),
        _cost("xTiny, 224", "xtiny", 224, 3.72, 2.63, 17),
        _cost("xTiny, 448", "xtiny", 448, 3.72, 10.52, 29),
        _cost("ViT-B, 224", "base", 224, 96.46, 42.44, 34),
        _cost("ViT-B, 448", "base", 448, 96.46, 169.78, 54),
        _cost("ViT-L, 448", "large", 448, 322.18, 532.87, 86),
        _cost("ViT-H, 448", "huge", 448, 659.39, 1401.93, 132),
    ),
    note="Milliseconds were published from the authors' machine; ours are from this one.",
)
