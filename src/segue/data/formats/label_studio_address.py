"""The images that a Label Studio task shows: which values of its data are addresses, and which files they mean."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, unquote_plus, urlparse

from segue.core.errors import DataError
from segue.data.formats.locate import ImageLocator, is_image, safe_name

LOCAL = "/data/local-files/?d="  # how Label Studio names files below its document root
_SCHEMES = ("http://", "https://", "s3://", "gs://", "azure-blob://", "/data/")


@dataclass(frozen=True)
class Photo:
    """One image of a task: the ``key`` of its address in the data, its place in a list (``item``, None for none), its
    ``name``, and the ``file`` or the ``embedded`` base64 text."""

    key: str
    item: int | None
    name: str
    file: Path | None = None
    embedded: str = ""

    def shows(self, result: Mapping[str, Any], photos: Sequence[Photo]) -> bool:
        """Whether ``result`` was drawn on it, and not on another of the task's ``photos``."""
        if self.item is not None and int(result.get("item_index") or 0) != self.item:
            return False
        keys = {photo.key for photo in photos}
        target = result.get("to_name")
        return len(keys) == 1 or target == self.key


def photos_of_task(data: Mapping[str, Any], locator: ImageLocator) -> Sequence[Photo]:
    """The images of a task, in the order of its data. Raises ``DataError`` for a task without one.

    >>> [photo.name for photo in photos_of_task({"text": "hello", "image": "/data/upload/3/a.jpg"}, ImageLocator())]
    ['data/upload/3/a.jpg']
    """
    photos: list[Photo] = []
    for key, value in _addresses(data, locator).items():
        several = isinstance(value, list)
        for item, address in enumerate(value if several else [value]):
            photos.append(_photo(key, item if several else None, str(address), locator))
    if not photos:
        raise DataError(f"a task without an image (its data: {', '.join(data) or 'none'})", "the address of an image")
    return photos


def _addresses(data: Mapping[str, Any], locator: ImageLocator) -> dict[str, str | list[str]]:
    """The values that are addresses of images; without one that looks like it, the key "image" or the only text."""
    addresses = {k: v for k, v in data.items() if _is_address(v, locator)}
    if addresses:
        return addresses
    texts: dict[str, str | list[str]] = {k: v for k, v in data.items() if isinstance(v, str)}
    return {"image": texts["image"]} if "image" in texts else texts if len(texts) == 1 else {}


def _is_address(value: object, locator: ImageLocator) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(v, str) and _is_address(v, locator) for v in value)
    if not isinstance(value, str) or not value.strip() or (len(value) > 4096 and not value.startswith("data:")):
        return False
    if value.startswith("data:"):
        return value[5:16].startswith("image/")
    if value.startswith(_SCHEMES):
        suffix = PurePosixPath(urlparse(value).path).suffix.lower()
        return suffix not in (".txt", ".json", ".mp3", ".wav", ".mp4", ".html", ".csv", ".pdf")
    return any(is_image(Path(name)) for name in _names(value)[:1])


def _photo(key: str, item: int | None, address: str, locator: ImageLocator) -> Photo:
    if address.startswith("data:"):
        head, _, text = address.partition(",")
        suffix = head.removeprefix("data:image/").partition(";")[0].replace("jpeg", "jpg")
        name = f"{key}-{zlib.crc32(text.encode()):08x}.{suffix if suffix.isalnum() else 'png'}"
        return Photo(key, item, name, None, text)
    names = _names(address)
    file = next((file for file in map(locator.find, names) if file is not None), None)
    if file is None:
        return Photo(key, item, str(safe_name(names[0])).removeprefix("images/"))
    root = next(folder for folder in locator.folders if file.is_relative_to(folder))
    return Photo(key, item, file.relative_to(root).as_posix().removeprefix("images/"), file)


def image_name(address: str) -> str:
    """The file that a task's image address means.

    >>> image_name("/data/local-files/?d=images/a%20b.jpg"), image_name("/data/upload/3/1f0c-a.jpg")
    ('images/a b.jpg', 'data/upload/3/1f0c-a.jpg')
    """
    return str(safe_name(_names(address)[0]))


def _names(address: str) -> list[str]:
    """The file names that an address may mean, the likeliest first: signs that addresses reserve (+ & # ? %) are often
    written as they are."""
    _, local, rest = address.partition(LOCAL)
    if local:
        names = [unquote(rest), rest, unquote_plus(rest), unquote(rest.partition("&")[0])]
    else:
        parsed = urlparse(address)
        whole = address[len(f"{parsed.scheme}://{parsed.netloc}") :] if parsed.netloc else address
        names = [unquote(parsed.path), unquote(whole), whole]
        if not is_image(Path(names[0])):
            names.sort(key=lambda name: not is_image(Path(name)))
    return [name for name in dict.fromkeys(names) if name.strip("/")] or [address]
