"""``segue encode``: features of many images ahead of time, into a cache that can be carried."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from segue.core.errors import DataError, InputError
from segue.core.failures import Failure
from segue.core.files import cache_folder
from segue.core.segmenter import Segmenter
from segue.data.io.image import find_images
from segue.data.io.resume_log import ResumeLog, job_digest
from segue.jobs.job import job
from segue.jobs.output import claim_output
from segue.jobs.progress import progress
from segue.models.pretrained import CONFIG, WEIGHTS, save_pretrained
from segue.session.cache import FeatureCache
from segue.session.config import CommandLine, JobResult, ModelChoice
from segue.session.encoding import EncodedFile, encode_paths
from segue.session.encoding_ray import RayWork, encode_over_ray


def size_in_bytes(text: str | int | None) -> int | None:
    """'20GB', '512 MiB' or '1000' as bytes, a number or None as it is; raises ``InputError`` for anything else.

    >>> size_in_bytes("20GB"), size_in_bytes("1.5 KiB")
    (20000000000, 1536)
    """
    if not isinstance(text, str):
        return text
    units = {"": 1, "B": 1} | {f"{u}B": 1000**i for i, u in enumerate("KMGT", 1)}
    units |= {f"{u}IB": 1024**i for i, u in enumerate("KMGT", 1)}
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    if found is None or found.group(2).upper() not in units:
        raise InputError(f"the size '{text}'", "a number of bytes such as 20GB or 512MiB")
    return int(float(found.group(1)) * units[found.group(2).upper()])


class EncodeConfig(ModelChoice):
    """What ``segue encode`` takes.

    ``limit`` may be a text such as "20GB"; the entries that were used least recently go first.
    """

    images: Annotated[
        tuple[str, ...], Field(description="Folders, image files or globs.", min_length=1), CommandLine(positional=True)
    ]
    cache: Annotated[str, Field(description="Folder or any fsspec URL.")]
    half: Annotated[
        bool | None, Field(description="Keep half precision; without it as the cache was made, else full.")
    ] = None
    limit: Annotated[
        int | None,
        BeforeValidator(size_in_bytes),
        Field(description="Most bytes to keep, such as 20GB.", gt=0),
        CommandLine(metavar="SIZE"),
    ] = None
    batch: Annotated[int, Field(description="Images of one size encoded together.", ge=1)] = 1
    readers: Annotated[int, Field(description="Threads that read ahead.", ge=1)] = 2
    strict: Annotated[bool, Field(description="Stop at the first image that fails.")] = False
    decoder: Annotated[
        Path | None, Field(description="Also write the model without its encoder: it answers from the cache alone.")
    ] = None
    force: Annotated[bool, Field(description="Replace a model that an earlier run wrote with --decoder.")] = False
    engine: Annotated[Literal["local", "ray"], Field(description="Where the work is done.")] = "local"
    address: Annotated[str | None, Field(description="Ray cluster; without it a local one is started.")] = None
    workers: Annotated[int, Field(description="Workers of a local Ray.", ge=1)] = 2
    chunk: Annotated[int, Field(description="Images in one Ray task.", ge=1)] = 16


class EncodeResult(JobResult):
    """What ``segue encode`` did: ``there`` images were in the cache before, ``hit_ratio`` is their share."""

    model: str
    cache: str
    engine: str
    precision: Literal["half", "full"]
    images: int
    encoded: int
    there: int
    hit_ratio: float
    seconds: float
    images_per_second: float
    bytes: int
    bytes_per_image: int
    decoder: Path | None
    failed: tuple[Failure, ...]


@job(EncodeConfig)
def encode(config: EncodeConfig, model: Segmenter | None = None) -> EncodeResult:
    """Encode every image that the cache does not hold yet.

    A run that was killed goes on where it stopped; images already known by path, size and time are not even
    read. ``model`` replaces the one that ``config`` names. Raises ``DataError`` when not one image could be read,
    and ``segue.load``'s and the cache's errors.

    >>> import tempfile
    >>> import numpy as np
    >>> from segue.data.io.image import write_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/a.png", np.zeros((40, 50, 3), np.uint8))
    ...     done = encode(images=[folder], cache=f"{folder}/cache")
    >>> done.encoded, done.there, done.failed
    (1, 0, ())
    """
    paths = list(dict.fromkeys(str(path) for path in find_images(config.images)))
    model = model if model is not None else config.load()
    cache = FeatureCache(config.cache, half=config.half, limit=config.limit)
    if config.decoder is not None:
        claim_output(config.decoder, (CONFIG, WEIGHTS), force=config.force)
        save_pretrained(model.without_encoder(), config.decoder)
    started = time.perf_counter()
    digest = job_digest({"model": model.fingerprint(), "cache": cache.url, "half": cache.half})
    with ResumeLog(cache_folder("encode") / f"{digest}.jsonl", digest) as journal:
        known = {path for path in paths if _is_known(path, journal, cache)}
        images = [EncodedFile(path, "there", journal[stamp(path)]["key"]) for path in known]
        fresh = _encoded(model, cache, [path for path in paths if path not in known], config)
        for image in progress(fresh, len(paths), "encode", before=len(known)):
            if image.status == "failed" and config.strict:
                raise DataError(image.reason)
            if image.key:
                journal.add(stamp(image.path), {"key": image.key})
            images.append(image)
    return _summary(images, config, cache, time.perf_counter() - started)


def _encoded(
    model: Segmenter, cache: FeatureCache, paths: Sequence[str], config: EncodeConfig
) -> Iterator[EncodedFile]:
    if config.engine == "local":
        return encode_paths(model, cache, paths, config.batch, config.readers)
    address = (cache.url, cache.half, cache.limit)
    names = ("batch", "readers", "chunk", "workers", "address")
    return encode_over_ray(model, RayWork(tuple(paths), address, **{name: getattr(config, name) for name in names}))


def stamp(path: str) -> str:
    """Path, size and time of change: the same stamp means the same content."""
    facts = Path(path).stat()
    return f"{Path(path).resolve()}|{facts.st_size}|{facts.st_mtime_ns}"


def _is_known(path: str, journal: ResumeLog, cache: FeatureCache) -> bool:
    try:
        mark = stamp(path)
    except OSError:
        return False
    return mark in journal and journal[mark]["key"] in cache


def _summary(images: Sequence[EncodedFile], config: EncodeConfig, cache: FeatureCache, seconds: float) -> EncodeResult:
    failed = tuple(Failure(image.path, image.reason) for image in images if image.status == "failed")
    encoded = [image for image in images if image.status == "encoded"]
    if failed and len(failed) == len(images):
        first = f"The first: {failed[0].reason}"
        raise DataError(f"{len(images)} images of which none could be read", "image files", first)
    written = sum(image.bytes for image in encoded)
    there = len(images) - len(failed) - len(encoded)
    return EncodeResult(
        model=config.model,
        cache=config.cache,
        engine=config.engine,
        precision="half" if cache.half else "full",
        images=len(images),
        encoded=len(encoded),
        there=there,
        hit_ratio=round(there / max(1, len(images) - len(failed)), 4),
        seconds=round(seconds, 3),
        images_per_second=round(len(encoded) / seconds, 4) if encoded else 0.0,
        bytes=written,
        bytes_per_image=round(written / len(encoded)) if encoded else 0,
        decoder=config.decoder,
        failed=failed,
    )
