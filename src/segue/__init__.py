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
    from segue.session.load import load
    from segue.session.predictor import SamPredictor
    from segue.session.session import Session

__version__ = "0.1.0"

_LAZY = {
    "SamPredictor": "segue.session.predictor",
    "Session": "segue.session.session",
    "load": "segue.session.load",
}

__all__ = ["Box", "Click", "Reference", "SamPredictor", "SegueError", "Session", "Text", "load"]


def __getattr__(name: str) -> Any:
    """Import the heavier names when they are first used, so that ``import segue`` stays quick."""
    if name not in _LAZY:
        raise AttributeError(f"module 'segue' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name]), name)
    globals()[name] = value
    return value
