"""``segue encode``: features of many images ahead of time, into a cache that can be carried."""

from __future__ import annotations

import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segue.core.errors import DataError, ImageError, InputError, MissingFile
from segue.core.frame import Frame
from segue.core.segmenter import Segmenter
from segue.core.types import Image
from segue.data.io.image import find_images, read_image
from segue.data.io.resume_log import ResumeLog, job_digest
from segue.jobs.job import job
from segue.models.pretrained import save_pretrained
from segue.session.cache import FeatureCache
from segue.session.config import CommandLine, ModelChoice

JOURNALS = Path.home() / ".cache" / "segue" / "encode"


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
    decoder: Annotated[
        Path | None, Field(description="Also write the model without its encoder: it answers from the cache alone.")
    ] = None
    engine: Annotated[Literal["local", "ray"], Field(description="Where the work is done.")] = "local"
    address: Annotated[str | None, Field(description="Ray cluster; without it a local one is started.")] = None
    workers: Annotated[int, Field(description="Workers of a local Ray.", ge=1)] = 2
    chunk: Annotated[int, Field(description="Images in one Ray task.", ge=1)] = 16


@dataclass(frozen=True)
class Done:
    """What became of one image: its cache key, "encoded", "there" or "unreadable", bytes written and why not."""

    path: str
    status: str
    key: str = ""
    bytes: int = 0
    why: str = ""


@job(EncodeConfig)
def encode(config: EncodeConfig, model: Segmenter | None = None) -> dict[str, Any]:
    """Encode every image that the cache does not hold yet; returns counts, rate, bytes and what was unreadable.

    A run that was killed goes on where it stopped; images already known by path, size and time are not even
    read. Raises ``DataError`` when not one image could be read, and ``segue.load``'s and the cache's errors.

    >>> import tempfile
    >>> import numpy as np
    >>> from segue.data.io.image import write_image
    >>> from segue.models.interformer.model import InterFormer
    >>> from segue.models.interformer.registry import TINY
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_image(f"{folder}/a.png", np.zeros((40, 50, 3), np.uint8))
    ...     config = EncodeConfig(images=[folder], cache=f"{folder}/cache")
    ...     done = encode(config, InterFormer(**TINY).eval())
    >>> done["encoded"], done["there"], done["unreadable"]
    (1, 0, [])
    """
    paths = list(dict.fromkeys(str(path) for path in find_images(config.images)))
    model = model if model is not None else config.load()
    cache = FeatureCache(config.cache, half=config.half, limit=config.limit)
    if config.decoder is not None:
        save_decoder(model, config.decoder)
    started, found = time.perf_counter(), []
    job = job_digest({"model": model.fingerprint(), "cache": cache.url, "half": cache.half})
    with ResumeLog(JOURNALS / f"{job}.jsonl", job) as journal:
        known = [path for path in paths if _is_known(path, journal, cache)]
        todo = [path for path in paths if path not in set(known)]
        found += [Done(path, "there", journal[stamp(path)]["key"]) for path in known]
        run = _over_ray if config.engine == "ray" else _here
        with _progress(len(paths), len(known)) as advance:
            for done in run(model, cache, todo, config):
                if done.key:
                    journal.add(stamp(done.path), {"key": done.key})
                found.append(done)
                advance()
    return _summary(found, config, cache, time.perf_counter() - started)


def encode_paths(
    model: Segmenter, cache: FeatureCache, paths: Iterable[str], batch: int = 1, readers: int = 2
) -> Iterator[Done]:
    """One ``Done`` per path, in no fixed order; images are read ahead and encoded in batches of one grid."""
    groups: dict[tuple[int, int], list[_Read]] = defaultdict(list)
    for read in _read_ahead(lambda path: _read(model, cache, path), paths, readers):
        if isinstance(read, Done):
            yield read
            continue
        group = groups[read.frame.grid]
        group.append(read)
        if len(group) == batch:
            yield from _encode_group(model, cache, groups.pop(read.frame.grid))
    for group in groups.values():
        yield from _encode_group(model, cache, group)


def save_decoder(model: Segmenter, folder: Path) -> Path:
    """Write ``model`` without its encoder: small, and it reads what the whole model cached.

    Raises ``InputError`` for a model that cannot be parted.
    """
    return save_pretrained(model.without_encoder(), folder)


def stamp(path: str) -> str:
    """Path, size and time of change: the same stamp means the same content."""
    facts = Path(path).stat()
    return f"{Path(path).resolve()}|{facts.st_size}|{facts.st_mtime_ns}"


@dataclass(frozen=True, eq=False)
class _Read:
    path: str
    image: Image
    frame: Frame
    key: str


def _read(model: Segmenter, cache: FeatureCache, path: str) -> _Read | Done:
    try:
        image = read_image(path)
    except (ImageError, MissingFile) as error:
        return Done(path, "unreadable", why=str(error))
    frame = model.frame((image.shape[0], image.shape[1]))
    key = cache.key(model, image, frame)
    return Done(path, "there", key) if key in cache else _Read(path, image, frame, key)


def _encode_group(model: Segmenter, cache: FeatureCache, group: list[_Read]) -> Iterator[Done]:
    with torch.inference_mode():
        features = model.encode([read.image for read in group])
    for read, one in zip(group, features.split(), strict=True):
        yield Done(read.path, "encoded", read.key, cache.write(read.key, one))


def _read_ahead(read: Callable[[str], _Read | Done], paths: Iterable[str], readers: int) -> Iterator[_Read | Done]:
    """``read`` of every path in order, a few paths ahead of whoever asks."""
    with ThreadPoolExecutor(readers) as pool:
        coming = iter(paths)
        window: list[Future[_Read | Done]] = [pool.submit(read, path) for path in islice(coming, 2 * readers)]
        while window:
            first = window.pop(0)
            window += [pool.submit(read, path) for path in islice(coming, 1)]
            yield first.result()


def _here(model: Segmenter, cache: FeatureCache, paths: list[str], config: EncodeConfig) -> Iterator[Done]:
    return encode_paths(model, cache, paths, config.batch, config.readers)


def _over_ray(model: Segmenter, cache: FeatureCache, paths: list[str], config: EncodeConfig) -> Iterator[Done]:
    from segue.jobs.encode_ray import encode_over_ray

    return encode_over_ray(model, cache, paths, config)


def _is_known(path: str, journal: ResumeLog, cache: FeatureCache) -> bool:
    try:
        mark = stamp(path)
    except OSError:
        return False
    return mark in journal and journal[mark]["key"] in cache


class _progress:
    """A bar with rate and time left on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, total: int, known: int) -> None:
        self.total, self.known, self.count = total, known, known
        self.started = self.spoke = time.monotonic()
        columns = (TextColumn("encode"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        self.terminal = sys.stderr.isatty()
        self.bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not self.terminal)
        self.task = self.bar.add_task("encode", total=total, completed=known, rate="")

    def __enter__(self) -> Callable[[], None]:
        self.bar.start()
        return self.advance

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def advance(self) -> None:
        self.count += 1
        now = time.monotonic()
        rate = (self.count - self.known) / max(1e-9, now - self.started)
        self.bar.update(self.task, advance=1, rate=f"{rate:.2f} images/s")
        if not self.terminal and now - self.spoke >= 10:
            self.spoke = now
            left = (self.total - self.count) / rate
            sys.stderr.write(f"encode {self.count}/{self.total}, {rate:.2f} images/s, {left:.0f} s left\n")


def _summary(found: list[Done], config: EncodeConfig, cache: FeatureCache, seconds: float) -> dict[str, Any]:
    unreadable = [done for done in found if done.status == "unreadable"]
    encoded = [done for done in found if done.status == "encoded"]
    if len(unreadable) == len(found):
        raise DataError(
            f"{len(found)} images of which none could be read", "image files", f"The first: {unreadable[0].why}"
        )
    written = sum(done.bytes for done in encoded)
    there = len(found) - len(unreadable) - len(encoded)
    return {
        "model": config.model,
        "cache": config.cache,
        "engine": config.engine,
        "precision": "half" if cache.half else "full",
        "images": len(found),
        "encoded": len(encoded),
        "there": there,
        "hit_ratio": round(there / max(1, len(found) - len(unreadable)), 4),
        "seconds": round(seconds, 3),
        "images_per_second": round(len(encoded) / seconds, 4) if encoded else 0.0,
        "bytes": written,
        "bytes_per_image": round(written / len(encoded)) if encoded else 0,
        "decoder": str(config.decoder) if config.decoder else None,
        "unreadable": [asdict(done) for done in unreadable],
    }
