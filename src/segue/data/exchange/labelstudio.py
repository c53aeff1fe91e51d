"""Label Studio JSON: ``tasks.json`` to import as it is; brush run lengths (lossless) or polygons."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlparse
from xml.sax.saxutils import quoteattr

import numpy as np

from segue.core.errors import DataError
from segue.data.exchange.base import (
    Choices,
    Entry,
    Exchange,
    Finder,
    Loss,
    Sheet,
    Writer,
    empty_loss,
    image_size,
    outline,
    outline_losses,
    safe_name,
    void_loss,
)
from segue.data.exchange.brush import decode_brush, encode_brush
from segue.data.exchange.jsonstream import elements
from segue.data.exchange.rings import rle_of_rings
from segue.data.exchange.sink import Sink
from segue.data.rle import Rle

FILE = "tasks.json"
LOCAL = "/data/local-files/?d="  # how Label Studio names files below its document root


class LabelStudioWriter(Writer):
    """``tasks.json``, ``images/`` and ``config.xml``, the labelling interface to paste into the project. Image
    names are those of a local storage whose document root is the folder."""

    def __init__(self, sink: Sink, choices: Choices, names: Sequence[str] = ()) -> None:
        super().__init__(sink, choices, names)
        self._file = sink.stream(FILE)
        self._file.write(b"[")
        self._count = 0

    def add(self, sheet: Sheet) -> list[Loss]:
        name = self.place(f"images/{safe_name(sheet.file_name)}", sheet)
        losses, results = void_loss(sheet), []
        for k, entry in enumerate(sheet.entries, start=1):
            self.number(entry.name)
            if not entry.rle.area:
                losses.append(empty_loss(sheet, entry))
                continue
            own = entry.extra.get("label_studio", {})
            base = {"id": str(own.get("id") or f"object-{k}"), "from_name": "brush", "to_name": "image", **own}
            if self.choices.polygons:
                drawn = outline(entry.rle, self.choices.tolerance, single=True)
                losses += outline_losses(sheet, entry, drawn)
                results.append(base | polygon_result(drawn.rings[0], sheet.size, entry.name or "object"))
            else:
                results.append(base | brush_result(entry.rle, entry.name or "object"))
        before = sheet.extra.get("label_studio", {})
        data = {**before.get("data", {}), before.get("key", "image"): LOCAL + quote(name)}
        task = {"data": data, "annotations": [{"result": results}]}
        comma = "," if self._count else ""
        self._file.write(f"{comma}\n{json.dumps(task, separators=(',', ':'))}".encode())
        self._count += 1
        return losses

    def finish(self) -> None:
        self._file.write(b"]\n")
        self.sink.keep(self._file)
        self.sink.put("config.xml", interface(tuple(self.classes)).encode())


class LabelStudio(Exchange):
    """Heartex, Label Studio. The first annotation of each task that was not cancelled counts; rectangles and
    points hold no mask and are reported.

    >>> LabelStudio().detect(Path("/no/such/folder"))
    False
    """

    name: ClassVar[str] = "label-studio"
    writer_type: ClassVar[type[Writer]] = LabelStudioWriter

    def detect(self, folder: Path) -> bool:
        return any(_looks_like_tasks(file) for file in sorted(folder.glob("*.json")))

    def read(self, folder: Path) -> Iterator[Sheet]:
        finder = Finder(folder, folder / "images")
        for file in sorted(folder.glob("*.json")):
            if not _looks_like_tasks(file):
                continue
            for number, element in enumerate(elements(file), start=1):
                try:
                    yield _sheet(element.value, finder)
                except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                    raise DataError(
                        f"task {number} of {file} that does not read ({error})", "a task with data and annotations"
                    ) from error


def brush_result(rle: Rle, label: str) -> dict[str, Any]:
    """A brush result with everything but its id and names.

    >>> brush_result(Rle.from_mask(np.ones((1, 1), bool)), "cat")["value"]["brushlabels"]
    ['cat']
    """
    value = {"format": "rle", "rle": encode_brush(rle.mask()), "brushlabels": [label]}
    return _result("brushlabels", rle.size, value)


def polygon_result(ring: np.ndarray[Any, np.dtype[np.float64]], size: tuple[int, int], label: str) -> dict[str, Any]:
    """A polygon result with everything but its id and names; points in per cent of the image.

    >>> polygon_result(np.array([[0, 0], [2, 0], [2, 4]]), (4, 2), "cat")["value"]["points"][2]
    [100.0, 100.0]
    """
    points = np.round(100 * ring / (size[1], size[0]), 6).tolist()
    return _result("polygonlabels", size, {"points": points, "closed": True, "polygonlabels": [label]})


def _result(kind: str, size: tuple[int, int], value: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "original_width": size[1], "original_height": size[0], "image_rotation": 0, "value": value}


def interface(labels: Sequence[str]) -> str:
    """The labelling interface for ``labels``: brush, polygon, and keypoints and rectangles for the ML backend.

    >>> 'smart="true"' in interface(["cat"])
    True
    """

    def block(tag: str, name: str, more: str = "") -> str:
        rows = "".join(f"    <Label value={quoteattr(label)}/>\n" for label in labels or ("object",))
        return f'  <{tag} name="{name}" toName="image"{more}>\n{rows}  </{tag}>\n'

    return (
        '<View>\n  <Image name="image" value="$image" zoom="true"/>\n'
        + block("BrushLabels", "brush", ' smart="false"')  # else the brush is the first of the smart tools
        + block("PolygonLabels", "polygon")
        + block("KeyPointLabels", "click", ' smart="true" smartOnly="true"')
        + block("RectangleLabels", "box", ' smart="true" smartOnly="true"')
        + "</View>\n"
    )


def image_name(url: str) -> str:
    """The file that a task's image address means.

    >>> image_name("/data/local-files/?d=images/a%20b.jpg"), image_name("/data/upload/3/1f0c-a.jpg")
    ('images/a b.jpg', 'data/upload/3/1f0c-a.jpg')
    """
    parsed = urlparse(url)
    local = parse_qs(parsed.query).get("d")
    return str(safe_name(local[0] if local else unquote(parsed.path)))


def _sheet(task: Mapping[str, Any], finder: Finder) -> Sheet:
    key = next((k for k, v in task["data"].items() if k == "image"), None) or next(
        k for k, v in task["data"].items() if isinstance(v, str)
    )
    name = image_name(task["data"][key])
    path = finder.find(name)
    live = [a for a in task.get("annotations", ()) if not a.get("was_cancelled")]
    losses = [Loss(name, "further annotations of the task left out")] if len(live) > 1 else []
    results = live[0]["result"] if live else []
    size = _size(results, path, name)
    entries = []
    for number, result in enumerate(results, start=1):
        rle = _rle(result, size)
        if rle is None:
            losses.append(Loss(name, f"{result.get('type')} without a mask left out", str(result.get("id", number))))
            continue
        labels = result["value"].get(result["type"]) or [""]
        kept = {k: v for k, v in result.items() if k in ("id", "from_name", "to_name", "meta", "parentID", "origin")}
        entries.append(Entry(str(labels[0]), rle, str(result.get("id", number)), {"label_studio": kept}))
    extra = {"label_studio": {"key": key, "data": {k: v for k, v in task["data"].items() if k != key}}}
    return Sheet(name.removeprefix("images/"), size, tuple(entries), path, None, tuple(losses), extra)


def _size(results: Sequence[Mapping[str, Any]], path: Path | None, name: str) -> tuple[int, int]:
    for result in results:
        if "original_height" in result:
            return int(result["original_height"]), int(result["original_width"])
    if path is None:
        raise DataError(f"a task without result whose image {name} is not there", "the image beside the JSON file")
    return image_size(path)


def _rle(result: Mapping[str, Any], size: tuple[int, int]) -> Rle | None:
    value = result.get("value", {})
    if value.get("format") == "rle" or "rle" in value:
        return Rle.from_mask(decode_brush(value["rle"], size))
    if result.get("type") in ("polygonlabels", "polygon") and len(value["points"]) > 2:
        return rle_of_rings([np.array(value["points"], np.float64) * (size[1] / 100, size[0] / 100)], size)
    return None


def _looks_like_tasks(file: Path) -> bool:
    with file.open("rb") as stream:
        head = stream.read(1 << 16).lstrip()
    return head[:1] == b"[" and (b'"data"' in head or b'"annotations"' in head or head[1:].strip() == b"]")


FORMAT = LabelStudio()
