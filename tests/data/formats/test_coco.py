import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segue.core.errors import DataError
from segue.data.formats.json_stream import elements
from segue.data.formats.registry import format_named
from segue.data.rasterize import rle_of_coco_polygons
from segue.data.record import Options

from .conftest import sheet_of, written


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    arrays(
        np.float64,
        st.tuples(st.integers(3, 10), st.just(2)),
        elements=st.one_of(st.integers(-3, 44).map(float), st.floats(-5, 45, allow_nan=False)),
    ),
)
def test_polygons_are_painted_as_pycocotools_paints_them(height, width, ring):
    coco = pytest.importorskip("pycocotools.mask", reason="needs the extra 'coco'")
    flat = ring.reshape(-1).tolist()
    theirs = coco.decode(coco.frPyObjects([flat], height, width))[..., 0].astype(bool)
    assert (rle_of_coco_polygons([flat], (height, width)).mask() == theirs).all()


def coco_file(folder, **changes):
    content = {
        "info": {"year": 2026},
        "licenses": [{"id": 1, "name": "none"}],
        "annotations": [
            {
                "id": 9,
                "image_id": "b",
                "category_id": 7,
                "iscrowd": 0,
                "segmentation": [[0, 0, 4, 0, 4, 4, 0, 4]],
                "area": 16,
                "bbox": [0, 0, 4, 4],
                "score": 0.5,
                "attributes": {"occluded": True},
            },
            {
                "id": 4,
                "image_id": "a",
                "category_id": 3,
                "iscrowd": 1,
                "area": 5,
                "bbox": [5, 0, 1, 5],
                "segmentation": {"size": [5, 6], "counts": [25, 5]},
            },
            {"id": 5, "image_id": "a", "category_id": 3, "iscrowd": 0, "segmentation": [], "area": 0, "bbox": []},
        ],
        "images": [
            {"id": "a", "file_name": "a.jpg", "width": 6, "height": 5, "coco_url": "http://x/ä"},
            {"id": "b", "file_name": "b.jpg", "width": 6, "height": 5},
        ],
        "categories": [{"id": 3, "name": "Kätzchen"}, {"id": 7, "name": "dog"}],
    } | changes
    (folder / "annotations").mkdir()
    (folder / "annotations" / "instances_val.json").write_text(
        json.dumps(content, ensure_ascii=False), encoding="utf-8"
    )


def test_any_order_of_keys_and_any_ids_are_read(tmp_path):
    coco_file(tmp_path)
    a, b = format_named("coco").read(tmp_path)
    assert (a.file_name, a.annotations, a.ignore_rle.area) == ("a.jpg", (), 5)
    assert [loss.what for loss in a.losses] == ["annotation without a mask"]
    assert [(e.name, e.rle.area) for e in b.annotations] == [("dog", 16)]


def test_unknown_keys_survive_the_way_through(tmp_path):
    coco_file(tmp_path)
    with format_named("coco").writer(
        tmp_path / "out", names=format_named("coco").open(tmp_path, Options()).classes
    ) as writer:
        for sheet in format_named("coco").read(tmp_path):
            writer.add(sheet)
    content = json.loads((tmp_path / "out" / "annotations" / "instances.json").read_text())
    assert content["images"][0]["coco_url"] == "http://x/ä"
    (crowd, dog) = content["annotations"]
    assert crowd["iscrowd"] == 1
    assert (dog["score"], dog["attributes"]) == (0.5, {"occluded": True})
    assert [c["name"] for c in content["categories"]][:2] == ["Kätzchen", "dog"]


@pytest.mark.parametrize(
    "changes",
    [
        {"images": [{"file_name": "a.jpg"}]},
        {"images": [{"id": "b", "file_name": "b.jpg"}]},
        {"annotations": [{"id": 1, "image_id": "b", "category_id": 7, "segmentation": {"size": [1], "counts": [1]}}]},
    ],
)
def test_what_does_not_fit_is_named(tmp_path, changes):
    coco_file(tmp_path, **changes)
    with pytest.raises(DataError) as caught:
        list(format_named("coco").read(tmp_path))
    assert "instances_val.json" in str(caught.value) or "width and height" in str(caught.value)


def test_json_is_read_element_by_element_whatever_the_chunks(tmp_path, monkeypatch):
    from segue.data.formats import json_stream

    coco_file(tmp_path)
    file = tmp_path / "annotations" / "instances_val.json"
    whole = list(elements(file))
    for chunk in (1, 2, 3, 7):
        monkeypatch.setattr(json_stream, "_CHUNK", chunk)
        assert list(elements(file)) == whole
    raw = file.read_bytes()
    for element in whole:
        assert json.loads(raw[element.start : element.start + element.length]) == element.value


def test_memory_does_not_grow_with_the_file(tmp_path):
    """A file of 60 MB is read with a small part of that in memory."""
    import tracemalloc

    row = json.dumps({"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0.5] * 600], "iscrowd": 0})
    file = tmp_path / "big.json"
    with file.open("w") as stream:
        stream.write('{"images": [], "annotations": [')
        stream.write(",".join([row] * 20_000))
        stream.write('], "categories": []}')
    assert file.stat().st_size > 50e6
    tracemalloc.start()
    assert sum(1 for _ in elements(file)) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


def test_a_crash_leaves_no_half_file(tmp_path, photo):
    def torn():
        yield sheet_of([np.eye(4, dtype=bool)], photo(4, 4))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        written("coco", tmp_path, torn())
    assert not list((tmp_path / "annotations").iterdir())
    written("coco", tmp_path / "again", [sheet_of([np.eye(4, dtype=bool)], photo(4, 4))])
    assert [p.name for p in (tmp_path / "again" / "annotations").iterdir()] == ["instances.json"]
