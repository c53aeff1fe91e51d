"""Features of many images into a cache: read ahead, encoded in batches of one size, what is there left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from segue.core.failures import Failures
from segue.core.frame import Frame
from segue.core.segmenter import Segmenter
from segue.core.types import Image
from segue.data.io.image import read_image
from segue.session.cache import FeatureCache


@dataclass(frozen=True)
class EncodedFile:
    """What became of one image: its cache key, whether its features were there already, bytes written, and the
    reason where it failed."""

    path: str
    status: Literal["encoded", "there", "failed"]
    key: str = ""
    bytes: int = 0
    reason: str = ""


@dataclass(frozen=True, eq=False)
class _Read:
    path: str
    image: Image
    frame: Frame
    key: str


def encode_paths(
    model: Segmenter, cache: FeatureCache, paths: Iterable[str], batch: int = 1, readers: int = 2
) -> Iterator[EncodedFile]:
    """One ``EncodedFile`` per path, in no fixed order."""
    groups: dict[tuple[int, int], list[_Read]] = defaultdict(list)
    for read in _read_ahead(lambda path: _read(model, cache, path), paths, readers):
        if isinstance(read, EncodedFile):
            yield read
            continue
        group = groups[read.frame.grid]
        group.append(read)
        if len(group) == batch:
            yield from _encode_group(model, cache, groups.pop(read.frame.grid))
    for group in groups.values():
        yield from _encode_group(model, cache, group)


def _read(model: Segmenter, cache: FeatureCache, path: str) -> _Read | EncodedFile:
    failures = Failures()
    with failures.guard(path):
        image = read_image(path)
        frame = model.frame((image.shape[0], image.shape[1]))
        key = cache.key(model, image, frame)
    if failures.rows:
        return EncodedFile(path, "failed", reason=failures.rows[0].reason)
    return EncodedFile(path, "there", key) if key in cache else _Read(path, image, frame, key)


def _encode_group(model: Segmenter, cache: FeatureCache, group: list[_Read]) -> Iterator[EncodedFile]:
    failures = Failures()
    with failures.guard(group[0].path):
        features = model.encode([read.image for read in group])
    if failures.rows and len(group) > 1:  # perhaps one of them fails, or there is memory for one
        for read in group:
            yield from _encode_group(model, cache, [read])
        return
    if failures.rows:
        yield EncodedFile(group[0].path, "failed", reason=failures.rows[0].reason)
        return
    for read, one in zip(group, features.split(), strict=True):
        yield EncodedFile(read.path, "encoded", read.key, cache.write(read.key, one))


def _read_ahead(
    read: Callable[[str], _Read | EncodedFile], paths: Iterable[str], readers: int
) -> Iterator[_Read | EncodedFile]:
    """``read`` of every path in order, a few paths ahead of whoever asks."""
    with ThreadPoolExecutor(readers) as pool:
        coming = iter(paths)
        window: list[Future[_Read | EncodedFile]] = [pool.submit(read, path) for path in islice(coming, 2 * readers)]
        while window:
            first = window.pop(0)
            window += [pool.submit(read, path) for path in islice(coming, 1)]
            yield first.result()
