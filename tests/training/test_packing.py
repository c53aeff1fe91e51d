"""Packed photos keep their own size and every instance."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segue.core.errors import DataError
from segue.training.packing import IGNORE, build_pack, objects_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A wide photo with 300 instances (16 bit) and a high one with two and a left-out strip (8 bit)."""
    folder = tmp_path / "crowd"
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    many = np.arange(1, 301, dtype=np.uint16).reshape(15, 20).repeat(4, 0).repeat(6, 1)
    few = np.zeros((90, 40), np.uint8)
    few[10:30, 5:25], few[50:80, 8:30], few[:, 38:] = 1, 2, 255
    for name, labels in (("many", many), ("few", few)):
        image = np.dstack([labels % 251, labels // 2, np.zeros_like(labels)]).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), labels)
    return folder


def test_instances_beyond_255_stay_apart(folder: Path, tmp_path: Path) -> None:
    pack = build_pack([folder], tmp_path / "cache")
    few, many = pack.photos
    assert len(many.objects) == 300
    assert many.objects[255] == (24, 84, 48, 90, 52), "a number like any other where label maps have 16 bit"
    assert set(few.objects) == {1, 2}
    assert (pack.label_map(0)[:, 38:] == IGNORE).all(), "what 8 bit leave out stays left out"
    assert pack.label_map(1).max() == 300


def test_photos_keep_their_own_size_up_to_the_largest(folder: Path, tmp_path: Path) -> None:
    pack = build_pack([folder], tmp_path / "cache")
    assert [p.size for p in pack.photos] == [(90, 40), (60, 120)]
    stored = cv2.imread(str(folder / "images" / "many.png"))[:, :, ::-1]
    assert np.array_equal(pack.image(1), stored)
    small = build_pack([folder], tmp_path / "cache", largest=60)
    assert [p.size for p in small.photos] == [(60, 27), (30, 60)]


def test_a_pack_is_reused_and_its_photos_split_by_name(folder: Path, tmp_path: Path) -> None:
    pack = build_pack([folder], tmp_path / "cache")
    for image in (folder / "images").iterdir():
        image.write_bytes(b"")  # a second reading would fail
    again = build_pack([folder], tmp_path / "cache")
    assert again.photos == pack.photos
    assert np.array_equal(again.labels, pack.labels)
    rest, held = pack.held_out(0.5)
    assert sorted([*rest, *held]) == [0, 1]
    assert pack.held_out(0.0) == ([0, 1], [])


def test_a_missing_mask_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "masks" / "few.png").unlink()
    with pytest.raises(DataError, match=r"few\.png"):
        build_pack([folder], tmp_path / "cache")


def test_an_object_is_known_by_its_area_and_box() -> None:
    labels = np.zeros((5, 6), np.uint16)
    labels[1:3, 2:5], labels[4, 0] = 400, IGNORE
    assert objects_of(labels) == {400: (6, 2, 1, 5, 3)}
