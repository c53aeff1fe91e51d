"""Masks in and out of a project from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import model_validator

from segue.annotator.config import AnnotateConfig
from segue.annotator.exporting import clip_formats, export
from segue.annotator.importing import import_files
from segue.annotator.project import Project
from segue.core.errors import MissingFile
from segue.data.formats.registry import known_name
from segue.session.config import JobConfig


class ExchangeConfig(JobConfig):
    """Import ``files`` into a project, and with ``accept`` accept the images that they are in; then write its masks as
    ``export`` into ``output``, ``everything`` includes images that are not accepted.

    >>> ExchangeConfig.from_fields(project=AnnotateConfig(), export="coco")
    Traceback (most recent call last):
    segue.core.errors.ConfigError: an export needs a folder to write to ...
    """

    project: AnnotateConfig
    files: tuple[Path, ...] = ()
    export: str | None = None
    output: Path | None = None
    everything: bool = False
    accept: bool = False

    @model_validator(mode="after")
    def _somewhere(self) -> ExchangeConfig:
        if self.export is not None and self.output is None:
            raise ValueError("an export needs a folder to write to (-o DIR)")
        if self.accept and not self.files:
            raise ValueError("nothing to accept: --accept belongs to --import FILE")
        return self


def run(config: ExchangeConfig) -> dict[str, Any]:
    """Do it; the figures for the table. The page may be open meanwhile."""
    if config.export is not None and config.export not in [one.name for one in clip_formats()]:
        known_name(config.export)  # a wrong name is an error before anything is imported
    project = Project(config.project)
    try:
        done: dict[str, Any] = {"folder": str(config.project.images)}
        if config.files:
            for path in config.files:
                if not path.exists():
                    raise MissingFile(
                        f"{path}", "annotations, a label map, a folder or a ZIP of them", "check the path"
                    )
            imported = import_files(project, config.files, "command", accept=config.accept)
            done["imported"] = imported.model_dump()
        if config.export is not None and config.output is not None:
            accepted = not config.everything
            done["exported images"] = export(project, config.export, config.output, accepted=accepted).images
            done["output"] = str(config.output)
        return done
    finally:
        project.close()
