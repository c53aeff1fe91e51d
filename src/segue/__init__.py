"""segue: promptable segmentation that learns from your corrections.

>>> import segue
>>> segue.Click(120, 80)
Click(x=120, y=80, positive=True)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from segue.core.errors import naming_extras
from segue.core.telemetry import report_nothing
from segue.core.threads import wait_passively

wait_passively()  # both before any runtime is loaded
report_nothing()

if TYPE_CHECKING:
    from segue.core.errors import SegueError
    from segue.core.types import Box, Click, Reference, Text
    from segue.data.io.image import read_image
    from segue.jobs.adapt import adapt
    from segue.jobs.bench import bench
    from segue.jobs.calibrate import calibrate
    from segue.jobs.check import check
    from segue.jobs.convert import convert
    from segue.jobs.convert_data import convert_data
    from segue.jobs.encode import encode
    from segue.jobs.evaluate import evaluate
    from segue.jobs.export import export
    from segue.jobs.find import find
    from segue.jobs.get import get
    from segue.jobs.label import label
    from segue.jobs.mask import mask
    from segue.jobs.masks import masks
    from segue.jobs.one_shot import one_shot
    from segue.jobs.propose import propose
    from segue.jobs.study import study
    from segue.jobs.track import track
    from segue.jobs.track_set import track_set
    from segue.jobs.train import train
    from segue.session.load import load
    from segue.session.mask_generator import SamAutomaticMaskGenerator
    from segue.session.predictor import SamPredictor
    from segue.session.session import Session

__version__ = "0.2.0"

_MODULES = {  # of the public names, each imported when it is first used, so that ``import segue`` costs nothing
    "Box": "core.types",
    "Click": "core.types",
    "Reference": "core.types",
    "SamAutomaticMaskGenerator": "session.mask_generator",
    "SamPredictor": "session.predictor",
    "SegueError": "core.errors",
    "Session": "session.session",
    "Text": "core.types",
    "adapt": "jobs.adapt",
    "bench": "jobs.bench",
    "calibrate": "jobs.calibrate",
    "check": "jobs.check",
    "convert": "jobs.convert",
    "convert_data": "jobs.convert_data",
    "encode": "jobs.encode",
    "evaluate": "jobs.evaluate",
    "export": "jobs.export",
    "find": "jobs.find",
    "get": "jobs.get",
    "label": "jobs.label",
    "load": "session.load",
    "mask": "jobs.mask",
    "masks": "jobs.masks",
    "one_shot": "jobs.one_shot",
    "propose": "jobs.propose",
    "read_image": "data.io.image",
    "study": "jobs.study",
    "track": "jobs.track",
    "track_set": "jobs.track_set",
    "train": "jobs.train",
}

__all__ = [
    "Box",
    "Click",
    "Reference",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "SegueError",
    "Session",
    "Text",
    "adapt",
    "bench",
    "calibrate",
    "check",
    "convert",
    "convert_data",
    "encode",
    "evaluate",
    "export",
    "find",
    "get",
    "label",
    "load",
    "mask",
    "masks",
    "one_shot",
    "propose",
    "read_image",
    "study",
    "track",
    "track_set",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'segue' has no attribute {name!r}")
    with naming_extras():
        value = getattr(importlib.import_module(f"segue.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
