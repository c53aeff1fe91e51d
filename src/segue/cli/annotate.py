"""``segue annotate``: the page, or a project's masks in and out without it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from segue.annotator.config import AnnotateConfig
from segue.cli.options import JobCommand
from segue.core.imports import importing
from segue.session.config import CommandLine


class _AnnotateConfig(AnnotateConfig):
    files: Annotated[
        tuple[Path, ...],
        Field(description="Add masks: annotations (.json, .xml), a label map (.png), a folder or .zip; repeatable."),
        CommandLine(names=("--import",), metavar="FILE"),
    ] = ()
    accept: Annotated[bool, Field(description="Accept the images that imported masks are in.")] = False
    export: Annotated[
        str | None,
        Field(description="Write the masks and end: coco, png, davis-video, nifti ..."),
        CommandLine(metavar="FORMAT"),
    ] = None
    output: Annotated[Path | None, Field(description="Folder of --export.")] = None
    everything: Annotated[
        bool, Field(description="Export images that are not accepted too."), CommandLine(names=("--all",))
    ] = False


def _annotate(config: _AnnotateConfig) -> Any:
    with importing():  # slow, and --help does without
        from segue.annotator.app import serve
        from segue.annotator.exchange import ExchangeConfig, run

    values = {name: getattr(config, name) for name in config.model_fields_set}
    exchanged = {
        name: values.pop(name) for name in ("files", "accept", "export", "output", "everything") if name in values
    }
    project = AnnotateConfig.from_fields(**values)
    if exchanged:
        return run(ExchangeConfig.from_fields(project=project, **exchanged))
    serve(project)
    return None


command = JobCommand(_AnnotateConfig, _annotate)
