"""What is there and what is wrong: the models, and the state of this installation."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

import segue
from segue.core.errors import SegueError
from segue.core.files import file_digest
from segue.core.types import Click
from segue.evaluation.machine import SIDE, matmul_gflops
from segue.models.pretrained import shipped_file
from segue.models.registry import MODELS
from segue.session.config import JobResult
from segue.session.load import load
from segue.session.session import Session

T = TypeVar("T")


class ModelRow(JobResult):
    """A row of the registry: what the model is, and where its weights come from under which licence."""

    name: str
    summary: str
    weights: str
    file: str
    licence: str


class ModelList(JobResult):
    """All models."""

    models: tuple[ModelRow, ...]


class Speed(JobResult):
    """Milliseconds of the default model on a 640 x 480 image: ``cold`` is the first time in this process, with the
    model's own loading apart, ``warm`` what every later image and click takes."""

    load_ms: float
    cold_encode_ms: float
    cold_click_ms: float
    warm_encode_ms: float
    warm_click_ms: float


class DoctorResult(JobResult):
    """The state of an installation; an extra is "installed", or says what is missing. ``problems`` say how to mend
    them."""

    segue: str
    python: str
    platform: str
    libraries: dict[str, str]
    extras: dict[str, str]
    device: str
    processor_cores: int | None
    matmul_gflops: float
    weights: dict[str, str]
    speed: Speed | None
    disk_free_gib: float
    problems: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return bool(self.problems)


def list_models() -> ModelList:
    """Every row of the registry.

    >>> [row.weights for row in list_models().models if row.name == "nano"]
    ['in the package']
    """
    rows = [
        ModelRow(
            name=name,
            summary=row.summary,
            weights="in the package" if row.shipped else row.hub or row.card.source,
            file=row.card.file,
            licence=row.card.licence,
        )
        for name, row in MODELS.items()
    ]
    return ModelList(models=tuple(rows))


def examine() -> DoctorResult:
    """Versions, extras, shipped weights, measured speed and disk, and what is wrong.

    ``matmul_gflops`` is that of a 1024 x 1024 float32 product in NumPy.
    """
    problems: list[str] = []
    required, extras = _requirements()
    matrix = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    free = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
    if free < 1:
        problems.append(f"only {free:.2f} GiB free for temporary files; make room")
    problems += [f"{name} is not installed; run: pip install segue" for name in required if not _version(name)]
    return DoctorResult(
        segue=segue.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        libraries={name: version for name in required if (version := _version(name))},
        extras={extra: _state_of_extra(names, extra) for extra, names in extras.items()},
        weights=_weights(problems),
        speed=_speed(problems),
        device=_device(),
        processor_cores=os.cpu_count(),
        matmul_gflops=round(matmul_gflops(lambda: matrix @ matrix), 1),
        disk_free_gib=round(free, 1),
        problems=tuple(problems),
    )


def _requirements() -> tuple[list[str], dict[str, list[str]]]:
    """(what segue cannot do without, extra -> its libraries), from the installed package's own metadata."""
    required, extras = [], defaultdict(list)
    for line in importlib.metadata.requires("segue") or ():
        name = re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0]
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if extra is None:
            required.append(name)
        elif name != "segue" and extra[1] != "dev":
            extras[extra[1]].append(name)
    return required, dict(extras)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _state_of_extra(names: list[str], extra: str) -> str:
    absent = [name for name in names if not _version(name)]
    return f"without {', '.join(absent)}: pip install 'segue[{extra}]'" if absent else "installed"


def _device() -> str:
    if not _version("torch"):
        return "cpu"
    import torch  # an optional library, and slow to import

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _weights(problems: list[str]) -> dict[str, str]:
    states = {}
    for name, row in MODELS.items():
        if row.shipped:
            states[name] = _state_of_file(shipped_file(name), row.card.sha256)
            if states[name] != "whole":
                problems.append(f"weights of {name}: {states[name]}; reinstall segue")
    return states


def _state_of_file(path: Path, expected: str) -> str:
    if not path.is_file():
        return f"missing ({path})"
    if not expected or file_digest(path) == expected:
        return "whole"
    return "damaged (its SHA-256 differs from the card's)"


def _speed(problems: list[str]) -> Speed | None:
    image = np.full((480, 640, 3), 127, np.uint8)
    try:
        load_ms, model = _timed(lambda: load("nano"))
        (cold_encode, cold_click), _, (warm_encode, warm_click) = [_dialogue(Session(model, image)) for _ in range(3)]
    except SegueError as error:
        problems.append(f"the default model does not run: {error}")
        return None
    return Speed(
        load_ms=load_ms,
        cold_encode_ms=cold_encode,
        cold_click_ms=cold_click,
        warm_encode_ms=warm_encode,
        warm_click_ms=warm_click,
    )


def _dialogue(session: Session) -> tuple[float, float]:
    return _timed(lambda: session.features)[0], _timed(lambda: session.add(Click(320, 240)))[0]


def _timed(run: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    value = run()
    return round(1e3 * (time.perf_counter() - started), 1), value
