"""COCO instances: ``annotations/*.json`` beside the images; polygons and both RLE forms, crowds are void."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.errors import DataError
from segue.core.types import Mask
from segue.data.exchange.coco_polygon import rle_of_polygons
from segue.data.image import read_image, write_bytes, write_image
from segue.data.pairs import file_stem
from segue.data.rle import Rle
from segue.data.sample import Format, Instance, Options, Sample, Truth


class Coco(Format):
    """Lin et al., ECCV 2014. One object an annotation, with its category's name; ``split`` chooses among
    several JSON files by a part of their names.

    >>> Coco().detect(Path("/no/such/folder"))
    False
    """

    def detect(self, folder: Path) -> bool:
        return bool(_jsons(folder))

    def samples(self, folder: Path, options: Options) -> Sequence[Sample]:
        file = _chosen(folder, options.split)
        content = _content(file)
        by_image: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for annotation in content["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        names = {c["id"]: c["name"] for c in content["categories"]}
        samples = []
        for image in content["images"]:
            path = _locate(folder, file, image["file_name"])
            size = (int(image["height"]), int(image["width"]))
            truth = partial(_truth, tuple(by_image[image["id"]]), size, Path(image["file_name"]).stem, names)
            samples.append(Sample(image["file_name"], partial(read_image, path), truth))
        return samples

    def write(self, folder: Path, samples: Iterable[Sample]) -> None:
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        categories: dict[str, int] = {}
        for number, sample in enumerate(samples, start=1):
            image, truth = sample.read()
            name = f"{Path(file_stem(sample)).stem}.png"
            write_image(folder / "images" / name, image)
            images.append({"id": number, "file_name": name, "width": image.shape[1], "height": image.shape[0]})
            objects = [(i.mask, i.name or "object", 0) for i in truth.instances]
            if truth.void is not None:
                objects.append((truth.void, "void", 1))
            for mask, kind, crowd in objects:
                category = categories.setdefault(kind, len(categories) + 1)
                annotations.append(
                    _annotation(mask, crowd)
                    | {"id": len(annotations) + 1, "image_id": number, "category_id": category}
                )
        kinds = [{"id": k, "name": name} for name, k in categories.items()]
        content = {"images": images, "annotations": annotations, "categories": kinds}
        write_bytes(folder / "annotations" / "instances.json", json.dumps(content).encode())


def decode(segmentation: Any, size: tuple[int, int]) -> Mask:
    """COCO ``segmentation`` -> (H, W) bool: polygons (rings are united), or RLE as a list or as text.

    Raises ``DataError`` for anything else. Source: the COCO data format, "Object Detection".

    >>> decode({"size": [2, 2], "counts": [1, 3]}, (2, 2)).astype(int)
    array([[0, 1],
           [1, 1]])
    """
    if isinstance(segmentation, list):
        return rle_of_polygons(segmentation, size).mask()
    rle = Rle.of_coco(segmentation)
    if rle.size != size:
        raise DataError(f"a mask of size {rle.size}", f"the image's size {size}")
    return rle.mask()


def _annotation(mask: Mask, crowd: int) -> dict[str, Any]:
    rle = Rle.of(mask)
    x0, y0, x1, y1 = rle.box
    counts = {"size": list(rle.size), "counts": rle.text}
    return {"segmentation": counts, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": rle.area, "iscrowd": crowd}


def _truth(
    annotations: tuple[Mapping[str, Any], ...], size: tuple[int, int], stem: str, names: Mapping[int, str]
) -> Truth:
    instances, void = [], np.zeros(size, bool)
    for annotation in annotations:
        mask = decode(annotation["segmentation"], size)
        if annotation.get("iscrowd"):
            void |= mask
        elif mask.any():
            name = names.get(annotation["category_id"], "")
            instances.append(Instance(f"{stem}#{annotation['id']}", mask, name))
    return Truth.of(instances, void)


def _jsons(folder: Path) -> list[Path]:
    """Instance files by their names: reading a whole COCO to recognise it would take a minute."""
    beside = [p for pattern in ("instances*.json", "*annotations*.json") for p in sorted(folder.glob(pattern))]
    candidates = [*sorted((folder / "annotations").glob("*.json")), *beside]
    return [p for p in candidates if "caption" not in p.name and "keypoint" not in p.name]


def _chosen(folder: Path, split: str | None) -> Path:
    files = [p for p in _jsons(folder) if split is None or split in p.stem]
    if not files:
        raise DataError(f"no JSON file {f'of split {split!r} ' if split else ''}in {folder}", "annotations/*.json")
    if len(files) > 1:
        raise DataError(
            f"{len(files)} JSON files: {', '.join(p.name for p in files)}",
            "one",
            "choose one with the split, a part of its name",
        )
    return files[0]


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
        missing = {"images", "annotations", "categories"} - set(content)
    except (ValueError, TypeError) as error:
        raise DataError(f"{file}, which is no JSON ({error})", "COCO instances") from error
    if missing or not isinstance(content, dict):
        raise DataError(f"{file} without {', '.join(sorted(missing))}", "COCO instances")
    return content


def _locate(folder: Path, file: Path, name: str) -> Path:
    split = file.stem.removeprefix("instances_")
    places = (
        folder / "images" / name,
        folder / name,
        folder / split / name,
        folder / "images" / split / name,
        file.parent / name,
    )
    found = next((p for p in places if p.exists()), None)
    if found is None:
        raise DataError(f"no image {name} for {file}", f"it in {folder / 'images'} or {folder}", "copy it there")
    return found


FORMAT = Coco()
