"""What is there and what is wrong: the models, and the state of this installation."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import segue
from segue.core.errors import SegueError
from segue.core.files import file_digest
from segue.core.types import Click
from segue.models.pretrained import shipped_file
from segue.models.registry import MODELS
from segue.session.load import load
from segue.session.session import Session

EXTRAS = {
    "annotator": ("fastapi", "uvicorn", "sqlmodel", "alembic"),
    "train": ("peft", "accelerate"),
    "onnx": ("onnx", "onnxruntime"),
    "coco": ("pycocotools",),
    "medical": ("nibabel", "pydicom"),
    "video": ("av",),
    "ray": ("ray",),
}
LIBRARIES = (
    "torch",
    "numpy",
    "pillow",
    "safetensors",
    "scipy",
    "scikit-image",
    "opencv-python-headless",
    "transformers",
)


def list_models() -> list[dict[str, Any]]:
    """One entry per row of the registry: name, summary, where weights come from, licence.

    >>> [row["weights"] for row in list_models() if row["name"] == "nano"]
    ['in the package']
    """
    return [
        {
            "name": name,
            "summary": row.summary,
            "weights": "in the package" if row.shipped else row.hub or row.card.source,
            "file": row.card.file,
            "licence": row.card.licence,
        }
        for name, row in MODELS.items()
    ]


def examine() -> dict[str, Any]:
    """Versions, optional libraries, shipped weights, measured speed and disk, and a list of ``problems``.

    Speeds are GFLOP/s of a 1024 x 1024 x 1024 float32 product and milliseconds of the default model on a blank
    640 x 480 image.
    """
    problems: list[str] = []
    found: dict[str, Any] = {
        "segue": segue.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "extras": {extra: _extra(names) for extra, names in EXTRAS.items()},
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "matmul_gflops": round(matmul_gflops(), 1),
        "weights": _weights(problems),
        "speed": _speed(problems),
    }
    free = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
    found["disk_free_gib"] = round(free, 1)
    if free < 1:
        problems.append(f"only {free:.2f} GiB free for temporary files; make room")
    problems += [f"{name} is not installed; run: pip install segue" for name in LIBRARIES if not _version(name)]
    found["problems"] = problems
    return found


def matmul_gflops(seconds: float = 0.3) -> float:
    """GFLOP/s of a 1024^3 float32 matrix product here and now: the machine's measured peak for ratios."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    a @ b
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * 1024**3 / best / 1e9


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _extra(names: tuple[str, ...]) -> str:
    absent = [name for name in names if not _version(name)]
    return f"without {', '.join(absent)}" if absent else "installed"


def _weights(problems: list[str]) -> dict[str, str]:
    states = {}
    for name, row in MODELS.items():
        if row.shipped:
            path = shipped_file(name)
            states[name] = _state(path, row.card.sha256)
            if states[name] != "whole":
                problems.append(f"weights of {name}: {states[name]}; reinstall segue")
    return states


def _state(path: Path, expected: str) -> str:
    if not path.is_file():
        return f"missing ({path})"
    return "whole" if not expected or file_digest(path) == expected else "damaged (its SHA-256 differs from the card's)"


def _speed(problems: list[str]) -> dict[str, float]:
    try:
        session = Session(load("nano"), np.full((480, 640, 3), 127, np.uint8))
        started = time.perf_counter()
        _ = session.features
        encoded = time.perf_counter()
        session.add(Click(320, 240))
        return {"encode_ms": 1e3 * (encoded - started), "first_click_ms": 1e3 * (time.perf_counter() - encoded)}
    except SegueError as error:
        problems.append(f"the default model does not run: {error}")
        return {}
