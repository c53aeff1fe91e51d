"""``segue get``: published weights, fetched once and checked; or which file to place where."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

from pydantic import Field

from segue.core.errors import DownloadError
from segue.core.files import file_digest
from segue.data.io.download import download
from segue.data.io.hub import check_sha256, fetch
from segue.jobs.job import job
from segue.jobs.output import Force
from segue.jobs.progress import progress
from segue.models.pretrained import CONFIG, WEIGHTS, placed_file, shipped_file
from segue.models.registry import MODELS
from segue.session.config import CommandLine, JobConfig, JobResult


class GetConfig(JobConfig):
    """What ``segue get`` takes: a model of the registry.

    >>> GetConfig(model="nano").url is None
    True
    """

    model: Annotated[str, Field(description="A model of segue models."), CommandLine(positional=True)]
    url: Annotated[str | None, Field(description="Fetch its file from there, such as a mirror.")] = None
    force: Annotated[Force, Field(description="Fetch it again, though it is there.")] = False


class GetResult(JobResult):
    """Where the weights of ``model`` lie now, their licence and source; ``checked`` says that their digest is the
    published one, ``fetched`` that they were not there before."""

    model: str
    path: Path
    licence: str
    source: str
    bytes: int | None
    sha256: str | None
    checked: bool
    fetched: bool


@job(GetConfig)
def get(config: GetConfig) -> GetResult:
    """Fetch the weights of a model to where ``segue.load`` and ``--model`` look for them.

    A download that broke is continued. Raises ``DownloadError`` that says which file to place where, for a model whose
    publisher offers no plain download and where the network fails, and ``CheckpointError`` for a damaged file there.

    >>> get(model="nano").licence
    'Apache-2.0'
    """
    row = MODELS[config.model]
    url = config.url or row.card.url
    target = shipped_file(config.model) if row.shipped else placed_file(row)
    there = target.is_file() and not (config.force and not row.shipped)
    if not there and not url and row.hub:
        folder = fetch(row.hub, files=(CONFIG, WEIGHTS, *row.beside))
        return _result(config.model, folder, fetched=True, digest="")
    if row.card.backbone and not config.url:
        raise DownloadError(
            f"no published weights of {config.model}: {row.card.file} from {row.card.source} is its encoder",
            "weights of the whole model",
            f"start a training from it: segue convert {row.card.file} --model {config.model} -o FOLDER",
        )
    by_hand = f"place {row.card.file} from {row.card.source} as {target}; it is found there"
    if not there and not url:
        raise DownloadError(
            f"no plain download of {config.model}: its publisher shares it on a page (licence {row.card.licence})",
            "the file placed by hand, or --url",
            by_hand,
        )
    if there:
        check_sha256(target, row.card.sha256)
    else:
        report = functools.partial(progress, name=f"{config.model} ({row.card.licence})", unit="MiB")
        try:
            download(url, target, row.card.sha256, lambda pieces, total, before: report(pieces, total, before=before))
        except DownloadError as error:
            raise DownloadError(error.arrived, error.expected, f"run it again to go on, or {by_hand}") from error
    return _result(config.model, target, fetched=not there, digest=row.card.sha256)


def _result(name: str, path: Path, *, fetched: bool, digest: str) -> GetResult:
    card = MODELS[name].card
    return GetResult(
        model=name,
        path=path,
        licence=card.licence,
        source=card.source,
        bytes=path.stat().st_size if path.is_file() else None,
        sha256=file_digest(path) if path.is_file() else None,
        checked=bool(digest),
        fetched=fetched,
    )
