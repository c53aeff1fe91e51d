"""The feature cache: what a model knows of an image, computed once, kept by content, carried anywhere.

A key holds every cause of the value: the image's pixels, the view, the model's class, configuration, weights and
adapters, and the precision kept. Anything else is a miss, and so is an entry that does not check out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import posixpath
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from segue.core.errors import ConfigError, InputError, StorageError
from segue.core.files import write_bytes
from segue.core.frame import Frame
from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image, digest, on_host

SETTINGS = "cache.json"
ENTRY = ".safetensors"
LARGEST_HALF = 6.0e4  # half precision ends at 65504
KEEP_AFTER_EVICTION = 0.9  # evict a little more than needed, so that not every put must


@dataclass
class CacheCounts:
    """What a cache did since it was opened: entries found, not found, found damaged, written, evicted."""

    hits: int = 0
    misses: int = 0
    damaged: int = 0
    written: int = 0
    evicted: int = 0

    @property
    def hit_ratio(self) -> float:
        """Share of look-ups that were answered, in [0, 1]; 0 before the first."""
        return self.hits / max(1, self.hits + self.misses)


class FeatureCache:
    """Features by content, as safetensors files under any fsspec URL (a local folder by default).

    ``half`` keeps floating-point maps in half precision (None: as the folder was made, else full);
    ``limit`` is the most bytes to keep, the least recently used going first. Several processes may share one:
    entries are written whole or not at all, and a reader never sees half of one.

    Raises ``StorageError`` when it cannot write and ``ConfigError`` for a folder that holds something else.

    >>> import numpy as np
    >>> from segue.models.interformer.model import InterFormer
    >>> from segue.models.interformer.registry import TINY
    >>> model, image = InterFormer(**TINY).eval(), np.zeros((30, 40, 3), np.uint8)
    >>> cache = FeatureCache("memory://doctest-cache")
    >>> cache.get(model, image) is None
    True
    >>> cache.put(model, image, model.encode([image]))
    >>> cache.get(model, image).maps["stride4"].shape
    (1, 8, 8, 16)
    """

    def __init__(self, url: str | Path, *, half: bool | None = None, limit: int | None = None) -> None:
        import fsspec  # not before a cache is wanted

        if limit is not None and limit <= 0:
            raise ConfigError(f"a cache limit of {limit} bytes", "a positive number of bytes")
        self.url, self.limit, self.counts = str(url), limit, CacheCounts()
        self._fs, self._root = fsspec.core.url_to_fs(self.url)
        self._local = isinstance(self._fs, fsspec.implementations.local.LocalFileSystem)
        self._fingerprints: weakref.WeakKeyDictionary[Segmenter, tuple[Any, str]] = weakref.WeakKeyDictionary()
        self._bytes: int | None = None
        self.half = self._settle(half)

    def key(self, model: Segmenter, image: Image, frame: Frame | None = None) -> str:
        """The entry's name: a digest of the image, the view (by default the model's own), and the model."""
        view = frame or model.frame((image.shape[0], image.shape[1]))
        causes = (digest(image), str(view.to_array().tolist()), self._fingerprint(model), str(self.half))
        return hashlib.sha256("\0".join(causes).encode()).hexdigest()

    def __contains__(self, key: str) -> bool:
        """Whether an entry is there; whether it is whole shows when it is read."""
        return bool(self._fs.exists(self._path(key)))

    def get(self, model: Segmenter, image: Image) -> Features | None:
        """The features of ``image`` as ``model`` would encode them, or None. Half precision comes back as
        float32."""
        return self.read(self.key(model, image))

    def read(self, key: str) -> Features | None:
        """The entry ``key``, or None; a damaged one is removed."""
        path = self._path(key)
        try:
            content = self._fs.cat_file(path)
        except (OSError, KeyError):
            self.counts.misses += 1
            return None
        features = _unpack(content)
        if features is None:
            self.counts.damaged += 1
            self.counts.misses += 1
            with contextlib.suppress(OSError):
                self._fs.rm_file(path)
            return None
        self.counts.hits += 1
        if self._local:
            with contextlib.suppress(OSError):
                os.utime(path)  # recently used
        return features

    def put(self, model: Segmenter, image: Image, features: Features) -> None:
        """Keep the features of one image."""
        if len(features.frames) != 1:
            raise InputError(f"features of {len(features.frames)} images", "features of one image", "use split()")
        self.write(self.key(model, image, features.frame), features)

    def write(self, key: str, features: Features) -> int:
        """Keep ``features`` under ``key``, whole or not at all; the bytes written."""
        content = _pack(features, self.half)
        if self.limit is not None:
            self._make_room(len(content))
        self._write(self._path(key), content)
        self.counts.written += 1
        if self._bytes is not None:
            self._bytes += len(content)
        return len(content)

    def size(self) -> tuple[int, int]:
        """(entries, bytes) that are there now."""
        sizes = [entry["size"] for entry in self._entries()]
        return len(sizes), sum(sizes)

    def _settle(self, half: bool | None) -> bool:
        """The precision of this folder: the one asked for, else the one it was made with."""
        path = posixpath.join(self._root, SETTINGS)
        try:
            stored = json.loads(self._fs.cat_file(path))
            if half is None:
                return bool(stored["half"])
        except (OSError, KeyError):
            pass
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}, which is no cache's settings", "a cache folder or a new one") from error
        else:
            return half
        if half is not None:
            self._write(path, json.dumps({"half": half}).encode())
        return bool(half)

    def _path(self, key: str) -> str:
        return posixpath.join(self._root, key[:2], key + ENTRY)

    def _write(self, path: str, content: bytes) -> None:
        if self._local:
            write_bytes(path, content, sync=False)
            return
        try:  # one put is atomic on object stores
            self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
            self._fs.pipe_file(path, content)
        except OSError as error:
            raise StorageError(
                f"the cache entry {path} could not be written ({error})",
                "a writable place with room",
                "Free some space, or give the cache a limit",
            ) from error

    def _entries(self) -> Iterator[dict[str, Any]]:
        try:
            listed = self._fs.find(self._root, detail=True)
        except OSError:
            return
        yield from (entry for name, entry in listed.items() if name.endswith(ENTRY))

    def _make_room(self, coming: int) -> None:
        """Evict the least recently used entries until ``coming`` bytes fit."""
        assert self.limit is not None
        if self._bytes is None:
            self._bytes = self.size()[1]
        if self._bytes + coming <= self.limit:
            return
        entries = sorted(self._entries(), key=_last_used)  # others may have written and evicted meanwhile
        total = sum(entry["size"] for entry in entries)
        for entry in entries:
            if total + coming <= self.limit * KEEP_AFTER_EVICTION:
                break
            with contextlib.suppress(OSError):
                self._fs.rm_file(entry["name"])
                self.counts.evicted += 1
            total -= entry["size"]
        self._bytes = total

    def _fingerprint(self, model: Segmenter) -> str:
        """The model's fingerprint, computed again only when a weight or a module changed."""
        state = model.version()
        known = self._fingerprints.get(model)
        if known is None or known[0] != state:
            known = (state, model.fingerprint())
            self._fingerprints[model] = known
        return known[1]


def _pack(features: Features, half: bool) -> bytes:
    arrays = {name: on_host(value) for name, value in features.maps.items()}
    maps = {name: _stored(value, half) for name, value in arrays.items()}
    facts = {
        "frame": json.dumps(features.frame.to_array().tolist()),
        "dtypes": json.dumps({name: str(value.dtype) for name, value in arrays.items()}),
    }
    content: bytes = save(maps, metadata=facts | {"digest": _content_digest(maps, facts)})
    return content


def _stored(value: NDArray[Any], half: bool) -> NDArray[Any]:
    fits = half and value.dtype == np.float32 and (not value.size or np.abs(value).max() < LARGEST_HALF)
    return np.ascontiguousarray(value, np.float16 if fits else value.dtype)


def _unpack(content: bytes) -> Features | None:
    """The features in an entry, or None if anything about it does not check out."""
    try:
        maps = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        facts = header["__metadata__"]
        if facts.pop("digest") != _content_digest(maps, facts):
            return None
        frame = Frame.from_array(np.array(json.loads(facts["frame"])))
        dtypes = json.loads(facts["dtypes"])
        whole = {name: value.astype(dtypes[name], copy=False) for name, value in maps.items()}
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, IndexError, InputError):
        return None
    return Features(whole, (frame,))


def _content_digest(maps: Mapping[str, NDArray[Any]], facts: Mapping[str, str]) -> str:
    """safetensors checks no content, so an entry carries this: over every fact and every byte."""
    sha = hashlib.blake2b(facts["frame"].encode() + facts["dtypes"].encode(), digest_size=20)
    for name in sorted(maps):
        value = maps[name]
        sha.update(f"\0{name}{value.dtype}{value.shape}".encode())
        sha.update(np.ascontiguousarray(value).data)
    return sha.hexdigest()


def _last_used(entry: Mapping[str, Any]) -> float:
    when = entry.get("mtime") or entry.get("created") or entry.get("LastModified") or 0.0
    return float(when.timestamp() if hasattr(when, "timestamp") else when)
