"""Jobs as plain functions of keywords: ``segue.evaluate(data=...)`` is ``segue evaluate --data ...``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from segue.core.errors import UnknownName

JOBS = {  # public name -> module of the function of that name, and its configuration
    "adapt": ("segue.jobs.adapt", "AdaptConfig"),
    "bench": ("segue.jobs.bench", "BenchConfig"),
    "convert": ("segue.jobs.convert", "ConvertConfig"),
    "encode": ("segue.jobs.encode", "EncodeConfig"),
    "evaluate": ("segue.jobs.evaluate", "EvaluateConfig"),
    "export": ("segue.jobs.export", "ExportConfig"),
    "find": ("segue.jobs.find", "FindConfig"),
    "track": ("segue.jobs.track", "TrackConfig"),
    "train": ("segue.jobs.train", "TrainConfig"),
}


def job(name: str) -> Callable[..., dict[str, Any]]:
    """The job ``name`` as a function of its configuration, or of the configuration's fields as keywords.

    The function returns what the command's ``--json`` writes; mistakes in the keywords raise ``ConfigError``.

    >>> job("convert")(checkpoint="a.pth")
    Traceback (most recent call last):
    segue.core.errors.ConfigError: got output=...: field required; expected a valid ConvertConfig...
    """
    if name not in JOBS:
        raise UnknownName(f"the job '{name}'", f"one of: {', '.join(JOBS)}")
    module = importlib.import_module(JOBS[name][0])
    run, config_type = getattr(module, name), getattr(module, JOBS[name][1])

    def call(config: Any = None, /, **values: Any) -> dict[str, Any]:
        result: dict[str, Any] = run(config_type.from_fields(**values) if config is None else config)
        return result

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{run.__doc__}\n    Keywords are the fields of ``{config_type.__name__}``: {config_type.__doc__}"
    return call
