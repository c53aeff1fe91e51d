"""Ids of any type: every annotation of a COCO file arrives under its own class in its own image, or is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.data.formats.registry import format_named
from segue.data.io.image import write_image
from segue.data.record import Options

SHAPES = ("number", "text", "float")
FORMS = {"number": int, "text": str, "float": float}
ids = st.sampled_from([(number, form) for number in (0, 1, 2, 7, 10, 2**40) for form in SHAPES])
odd = st.sampled_from([None, "", "one", 1.5, "01", True, [1], {"id": 1}])


def written(identity: tuple[int, str]) -> int | str | float:
    """The id ``identity`` as its form writes it in JSON."""
    number, form = identity
    return FORMS[form](number)


@st.composite
def files(draw):
    """COCO content, and for every annotation the (image, class) that it says, or None where it says none that is."""
    images = draw(st.lists(ids, min_size=1, max_size=3, unique_by=lambda i: i[0]))
    classes = draw(st.lists(ids, min_size=1, max_size=3, unique_by=lambda i: i[0]))
    content = {
        "images": [{"id": written(i), "file_name": f"{i[0]}.png", "width": 8, "height": 6} for i in images],
        "categories": [{"id": written(c), "name": f"class{c[0]}"} for c in classes],
        "annotations": [],
    }
    expected = []
    for number in range(draw(st.integers(1, 6))):
        image, kind = draw(st.one_of(ids, odd)), draw(st.one_of(ids, odd))
        values = [written(v) if isinstance(v, tuple) else v for v in (image, kind)]
        content["annotations"].append(
            {
                "id": number + 1,
                "image_id": values[0],
                "category_id": values[1],
                "iscrowd": 0,
                "area": 4,
                "bbox": [number, 0, 1, 4],
                "segmentation": [[number, 0, number + 1, 0, number + 1, 4, number, 4]],
            }
        )
        known = [
            isinstance(v, tuple) and v[0] in {one[0] for one in table}
            for v, table in ((image, images), (kind, classes))
        ]
        place = f"{image[0]}.png" if known[0] else None
        expected.append((number, place, f"class{kind[0]}" if known[1] else None))
    return content, expected


@settings(max_examples=150)
@given(files())
def test_an_annotation_arrives_as_it_says_or_is_named(tmp_path_factory: pytest.TempPathFactory, drawn) -> None:
    content, expected = drawn
    folder: Path = tmp_path_factory.mktemp("coco")
    for image in content["images"]:
        write_image(folder / "images" / image["file_name"], np.zeros((6, 8, 3), np.uint8))
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances.json").write_text(json.dumps(content))
    data = format_named("coco").open(folder, Options())
    read = list(data.read())
    arrived = {
        int(np.nonzero(annotation.mask.any(0))[0][0]): (image.file_name, annotation.name)
        for image in read
        for annotation in image.annotations
    }
    losses = (*data.losses, *(loss for image in read for loss in image.losses))
    named = [f"{loss.object} {loss.what}" for loss in losses]
    for column, place, kind in expected:
        if place and kind:
            assert arrived.get(column) == (place, kind)
        else:
            got = arrived.get(column)
            assert got is None or (got[0] == place and got[1] == ""), "a default in place of what does not resolve"
            assert any(one.startswith(f"annotation {column + 1} ") for one in named), "dropped without a word"
