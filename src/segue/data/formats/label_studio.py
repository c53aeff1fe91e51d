"""Label Studio JSON: ``tasks.json`` to import as it is; brush run lengths (lossless) or polygons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from segue.core.errors import DataError, SegueError
from segue.data.formats.base import Format, WriteOptions, Writer, empty_loss, no_split, outline, stem_of, void_loss
from segue.data.formats.brush import decode_brush, encode_brush
from segue.data.formats.embedded import image_of_base64
from segue.data.formats.json_stream import element_at, elements, open_json
from segue.data.formats.label_studio_address import LOCAL, Photo, photos_of_task
from segue.data.formats.locate import ImageLocator, safe_name
from segue.data.formats.output import OutputFolder
from segue.data.formats.signs import Listing
from segue.data.photo_size import stated_size
from segue.data.rasterize import rle_of_rings
from segue.data.record import AnnotatedImage, Annotation, DataSet, Loss, Options, Samples
from segue.data.rle import Rle

FILE = "tasks.json"
RESULTS = ("annotations", "predictions", "drafts")
_KEPT = ("id", "from_name", "to_name", "meta", "parentID", "origin")
_TROUBLE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)


class LabelStudioWriter(Writer):
    """``tasks.json``, ``images/`` and ``config.xml``, the labelling interface to paste into the project. Image
    names are those of a local storage whose document root is the folder."""

    def __init__(self, output: OutputFolder, options: WriteOptions, names: Sequence[str] = ()) -> None:
        super().__init__(output, options, names)
        self._file = output.stream(FILE)
        self._file.write(b"[")
        self._count = 0

    def add(self, image: AnnotatedImage) -> list[Loss]:
        name = self.place(f"images/{safe_name(image.file_name)}", image)
        losses, results = void_loss(image), []
        for k, annotation in enumerate(image.annotations, start=1):
            self.number(annotation.name)
            if not annotation.rle.area:
                losses.append(empty_loss(image, annotation))
                continue
            own = annotation.extra.get("label_studio", {})
            base = {"id": str(own.get("id") or f"object-{k}"), "from_name": "brush", "to_name": "image", **own}
            if self.options.polygons:
                drawn = outline(annotation.rle, self.options.tolerance, single=True)
                losses += drawn.losses(image, annotation)
                results.append(base | polygon_result(drawn.rings[0], image.size, annotation.name or "object"))
            else:
                results.append(base | brush_result(annotation.rle, annotation.name or "object"))
        before = image.extra.get("label_studio", {})
        data = {**before.get("data", {}), "image": LOCAL + quote(name)}
        task = {"data": data, "annotations": [{"result": results}]}
        comma = "," if self._count else ""
        self._file.write(f"{comma}\n{json.dumps(task, separators=(',', ':'))}".encode())
        self._count += 1
        return losses

    def finish(self) -> None:
        self._file.write(b"]\n")
        self.output.keep(self._file)
        self.output.put("config.xml", interface(tuple(self.classes)).encode())


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


class LabelStudio(Format):
    """Heartex, Label Studio. A task's images are a sample each. The first annotation that was not cancelled counts;
    further ones, cancelled ones, predictions and drafts are losses, unless ``Options.results`` asks for the latter.
    Rectangles, ellipses and points hold no mask and are reported."""

    name = "label-studio"
    writer_type = LabelStudioWriter

    def open(self, folder: Path, options: Options) -> DataSet:
        no_split(options, self.name)
        if options.results not in RESULTS:
            raise DataError(f"the results '{options.results}'", f"one of: {', '.join(RESULTS)}")
        listing = Listing(folder)
        files = listing.json_files("label-studio")
        locator = ImageLocator(*options.places(listing.folder, listing.folder / "images"))
        places: list[_Place] = []
        ids: list[str] = []
        losses: list[Loss] = []
        for file in files:
            for number, element in enumerate(elements(file), start=1):
                if not element.listed:
                    raise DataError(f"{file}, which is one object", "a list of tasks", "export the project as JSON")
                which = f"task {_task_id(element.value, number)}"
                try:
                    photos, strays = _checked(element.value, locator)
                except _TROUBLE as error:
                    raise _unreadable(which, file, error) from error
                for k, photo in enumerate(photos):
                    places.append(_Place(file, element.start, element.length, k, which))
                    ids.append(photo.name)
                losses += [Loss("", what, f"{which}, {item}", file=file.name) for item, what in strays]

        def load(index: int) -> AnnotatedImage:
            place = places[index]
            with open_json(place.file) as stream:
                task = element_at(stream, place.start, place.length)
            try:
                return _annotated(task, photos_of_task(task["data"], locator), place, options.results)
            except _TROUBLE as error:
                raise _unreadable(place.task, place.file, error) from error

        return DataSet(self.name, listing.folder, Samples(ids, load), (), losses)


class _Place(NamedTuple):
    """One image of one task: where the task stands in which file."""

    file: Path
    start: int
    length: int
    photo: int
    task: str


def _task_id(task: object, number: int) -> object:
    return task.get("id", number) if isinstance(task, dict) else number


def _unreadable(task: str, file: Path, error: Exception) -> DataError:
    why = error if isinstance(error, SegueError) else f"{type(error).__name__}: {error}"
    return DataError(f"{task} of {file} that does not read ({why})", "a task with data and annotations")


def _checked(task: Mapping[str, Any], locator: ImageLocator) -> tuple[Sequence[Photo], list[tuple[str, str]]]:
    """The photos of a task, and (item, reason) of every result that belongs to none of them."""
    photos = photos_of_task(task["data"], locator)
    results = [
        r for kind in ("annotations", "completions") for a in task.get(kind) or () for r in a.get("result") or ()
    ]
    strays = [r for r in results if not any(photo.shows(r, photos) for photo in photos)]
    keys = ", ".join(dict.fromkeys(photo.key for photo in photos))
    of = ((str(r.get("id", "?")), r.get("to_name"), r.get("item_index")) for r in strays)
    return photos, [
        (f"result {id}", f"to_name {name!r}, item_index {item!r} is none of the task's images ({keys})")
        for id, name, item in of
    ]


def _chosen(task: Mapping[str, Any], kind: str, name: str) -> tuple[Sequence[Mapping[str, Any]], list[Loss]]:
    """The results that count, and what is left out."""
    by_kind = {one: list(task.get(one) or ()) for one in RESULTS}
    by_kind["annotations"] += list(task.get("completions") or ())
    cancelled = [a for a in by_kind["annotations"] if a.get("was_cancelled")]
    by_kind["annotations"] = [a for a in by_kind["annotations"] if not a.get("was_cancelled")]
    chosen = next((a for a in by_kind[kind] if a.get("result")), None) or next(iter(by_kind[kind]), None)
    losses = []
    if not any(isinstance(task.get(one), list) for one in (*RESULTS, "completions")):
        losses.append(Loss(name, "task without a list of annotations"))
    if any(not isinstance(a.get("result"), list) for a in by_kind[kind]):
        losses.append(Loss(name, f"{kind} without a list of results"))
    if any(a.get("result") for a in cancelled):
        losses.append(_left_out(name, "cancelled annotation left out", cancelled))
    for other in RESULTS:
        rest = [a for a in by_kind[other] if a is not chosen]
        if rest and other == kind:
            losses.append(_left_out(name, f"further {kind} of the task left out", rest))
        elif any(a.get("result") for a in rest):
            losses.append(_left_out(name, f"{other} left out (read them with --results {other})", rest))
    return (chosen.get("result") or () if chosen is not None else ()), losses


def _left_out(name: str, what: str, those: Sequence[Mapping[str, Any]]) -> Loss:
    return Loss(name, what, f"{sum(len(a.get('result') or ()) for a in those)} results")


def _annotated(task: Mapping[str, Any], photos: Sequence[Photo], place: _Place, kind: str) -> AnnotatedImage:
    photo = photos[place.photo]
    name = photo.name
    results, losses = _chosen(task, kind, name)
    own = [result for result in results if photo.shows(result, photos)]
    stated = next((r for r in own if "original_height" in r), {})
    pixels = partial(image_of_base64, photo.embedded, place.task) if photo.embedded else None
    if pixels is not None and not stated:
        size = pixels().shape[:2]
    else:
        size = stated_size(stated.get("original_height"), stated.get("original_width"), photo.file, name)
    labels = _region_labels(own)
    twice = Counter(str(r.get("id", "")) for r in own if _drawn(r))
    annotations = []
    for number, result in enumerate(own, start=1):
        id = str(result.get("id", number))
        rle = _rle(result, size)
        if rle is None:
            if not _drawn(result) and id in twice:
                continue  # the label of a region, which has it
            losses.append(Loss(name, f"{result.get('type')} without a mask left out", id))
            continue
        if result.get("image_rotation"):
            losses.append(Loss(name, f"drawn on the image turned by {result['image_rotation']} degrees: left out", id))
            continue
        if rle.size != size:
            what = f"drawn on an image of {rle.size[1]} x {rle.size[0]} pixels, not {size[1]} x {size[0]}: left out"
            losses.append(Loss(name, what, id))
            continue
        named = labels.get(id, []) if twice[id] == 1 else _labels_of(result)
        if len(named) > 1:
            losses.append(Loss(name, f"further labels left out: {', '.join(named[1:])}", id, 1.0))
        kept = {k: v for k, v in result.items() if k in _KEPT}
        extra = {"label_studio": kept}
        unique = id if twice[id] == 1 else f"{id}.{number}"
        annotations.append(Annotation(named[0] if named else "", rle, f"{stem_of(name)}#{unique}", extra=extra))
    rest = {k: v for k, v in task["data"].items() if k not in {one.key for one in photos}}
    extra = {"label_studio": {"data": rest}}
    return AnnotatedImage(name, size, tuple(annotations), photo.file, None, tuple(losses), extra, pixels)


def _drawn(result: Mapping[str, Any]) -> bool:
    """Whether a result has a shape of its own, and is not only the label of one."""
    value = result.get("value") or {}
    return any(key in value for key in ("rle", "points", "x", "vertices"))


def _region_labels(results: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The labels of each region: its own, and those of results of the same id (tools and labels kept apart)."""
    labels: dict[str, list[str]] = {}
    for result in results:
        known = labels.setdefault(str(result.get("id", "")), [])
        known += [label for label in _labels_of(result) if label not in known]
    return {id: names for id, names in labels.items() if id}


def _labels_of(result: Mapping[str, Any]) -> list[str]:
    value, kind = result.get("value") or {}, str(result.get("type"))
    names = value.get(kind) or value.get("labels") or ()
    names = names or next((v for k, v in value.items() if k.endswith("labels") and v), ())
    return [str(name) for name in ([names] if isinstance(names, str) else names)]


def _rle(result: Mapping[str, Any], size: tuple[int, int]) -> Rle | None:
    value = result.get("value") or {}
    own = (int(result.get("original_height", size[0])), int(result.get("original_width", size[1])))
    if value.get("format") == "rle" or "rle" in value:
        return Rle.from_mask(decode_brush(value["rle"], own))
    if result.get("type") in ("polygonlabels", "polygon") and len(value["points"]) > 2:
        return rle_of_rings([np.array(value["points"], np.float64) * (own[1] / 100, own[0] / 100)], own)
    return None
