"""segue: promptable segmentation that learns from your corrections.

>>> import segue
>>> segue.Click(120, 80)
Click(x=120, y=80, positive=True)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from segue.core.errors import SegueError
from segue.core.types import Box, Click, Reference, Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from segue.session.load import load
    from segue.session.predictor import SamPredictor
    from segue.session.session import Session

    _Job = Callable[..., dict[str, Any]]
    adapt: _Job
    bench: _Job
    convert: _Job
    encode: _Job
    evaluate: _Job
    export: _Job
    find: _Job
    track: _Job
    train: _Job

__version__ = "0.1.0"

_LAZY = {
    "SamPredictor": "segue.session.predictor",
    "Session": "segue.session.session",
    "load": "segue.session.load",
}

_JOBS = ("adapt", "bench", "convert", "encode", "evaluate", "export", "find", "track", "train")

__all__ = [
    "Box",
    "Click",
    "Reference",
    "SamPredictor",
    "SegueError",
    "Session",
    "Text",
    "adapt",
    "bench",
    "convert",
    "encode",
    "evaluate",
    "export",
    "find",
    "load",
    "track",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import the heavier names when they are first used, so that ``import segue`` stays quick."""
    if name in _JOBS:
        value = importlib.import_module("segue.jobs.api").job(name)
    elif name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    else:
        raise AttributeError(f"module 'segue' has no attribute {name!r}")
    globals()[name] = value
    return value
