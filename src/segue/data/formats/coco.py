"""COCO instances: ``annotations/*.json`` beside the images; polygons and both RLE forms, crowds are void."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segue.core.errors import DataError
from segue.data.exchange.coco import Coco as Exchange
from segue.data.exchange.coco import decode
from segue.data.io.image import read_image
from segue.data.sample import Instance, Options, Sample, Target


class Coco(Exchange):
    """Lin et al., ECCV 2014: one JSON file of a folder, as a data set to evaluate on. One object an annotation, with
    its category's name; ``split`` chooses among several files by a part of their names.

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
            target = partial(_truth, tuple(by_image[image["id"]]), size, Path(image["file_name"]).stem, names)
            samples.append(Sample(image["file_name"], partial(read_image, path), target))
        return samples


def _truth(
    annotations: tuple[Mapping[str, Any], ...], size: tuple[int, int], stem: str, names: Mapping[int, str]
) -> Target:
    instances, ignore_mask = [], np.zeros(size, bool)
    for annotation in annotations:
        mask = decode(annotation["segmentation"], size).mask()
        if annotation.get("iscrowd"):
            ignore_mask |= mask
        elif mask.any():
            name = names.get(annotation["category_id"], "")
            instances.append(Instance(f"{stem}#{annotation['id']}", mask, name))
    return Target.from_instances(instances, ignore_mask)


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
