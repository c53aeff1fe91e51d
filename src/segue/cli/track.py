"""``segue track``: one video, or with ``--data`` a set of videos, measured."""

from __future__ import annotations

import copy
from typing import Any

from pydantic import create_model
from pydantic.fields import FieldInfo

from segue.cli.options import JobCommand
from segue.cli.show import show_result, show_rows
from segue.core.errors import ConfigError
from segue.jobs.track import TrackConfig, TrackResult, track
from segue.jobs.track_set import TrackSetConfig, TrackSetResult, track_set
from segue.session.config import JobConfig


def _field(field: FieldInfo) -> tuple[Any, FieldInfo]:
    """A field that one of the two needs and the other does not."""
    mine = copy.copy(field)
    if field.is_required():
        mine.default, mine.annotation = None, field.annotation | None  # type: ignore[operator, assignment]
    return mine.annotation, mine


_EVERY = {**TrackSetConfig.model_fields, **TrackConfig.model_fields}
_TrackCommand: type[JobConfig] = create_model(  # type: ignore[call-overload]
    "_TrackCommand", __base__=JobConfig, **{name: _field(field) for name, field in _EVERY.items()}
)


def _run(config: JobConfig) -> TrackResult | TrackSetResult:
    given = {name: getattr(config, name) for name in config.model_fields_set}
    if "data" not in given:
        for name in given.keys() & TrackSetConfig.model_fields.keys() - TrackConfig.model_fields.keys():
            raise ConfigError(f"--{name} for one video", "a set of videos", "name it with --data")
        return track(TrackConfig.from_fields(**given))
    for name in given.keys() - TrackSetConfig.model_fields.keys():
        raise ConfigError(f"--{name.replace('_', '-')} beside --data", "one video, or a set", "leave one of them out")
    return track_set(TrackSetConfig.from_fields(**given))


def _show(result: TrackResult | TrackSetResult) -> None:
    if isinstance(result, TrackSetResult):
        rows = [(t.sequence, str(t.object), f"{t.j_mean:.1f}", f"{t.f_mean:.1f}", f"{t.jf:.1f}") for t in result.tracks]
        show_rows(("video", "object", "J", "F", "J&F"), rows)
        if len(result.curve) > 1:
            curve = [(str(c.key_frames), f"{c.jf:.1f}", f"{c.clicks:.1f}") for c in result.curve]
            show_rows(("key frames", "J&F", "clicks a video"), curve)
    show_result(result)


command = JobCommand(_TrackCommand, _run, _show)
