"""Images, masks and texts as the medical text-prompt sets lay them out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.data.formats.registry import open_data
from segue.data.io.image import write_image, write_labels
from segue.data.record import Options


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images in two splits, the first with two masks, written as the published sets write them."""
    mask = np.zeros((8, 10), int)
    mask[2:5, 3:7] = 255
    for name in ("heart", "lung"):
        write_image(tmp_path / "images" / f"{name}.jpg", np.zeros((8, 10, 3), np.uint8))
    for name in ("heart_1", "heart_2", "lung"):
        write_labels(tmp_path / "masks" / f"{name}.png", mask)
    rows = {
        "train": [
            {
                "img_name": "heart.jpg",
                "mask_name": "heart_1.png",
                "cat": 0,
                "bbox": [1, 2, 3, 4],
                "prompts": {"p0": "", "p1": ["the ventricle", "the left ventricle"], "p2": "one ventricle"},
            },
            {"img_name": "heart.jpg", "mask_name": "heart_2.png", "prompts": {"p0": "", "p1": "the atrium"}},
        ],
        "test": [{"img_name": "lung.jpg", "mask_name": "lung.png", "prompts": {"p0": "", "p1": ["a lung"]}}],
    }
    (tmp_path / "anns").mkdir()
    for split, entries in rows.items():
        (tmp_path / "anns" / f"{split}.json").write_text(json.dumps(entries))
    return tmp_path


def test_texts_of_every_level_are_read_and_empty_ones_left_out(folder: Path) -> None:
    heart, lung = open_data(folder).samples
    assert [i.texts for i in heart.read()[1].annotations] == [
        ("the ventricle", "the left ventricle", "one ventricle"),
        ("the atrium",),
    ]
    assert (heart.group, lung.group) == ("train", "test")


def test_a_split_is_chosen_by_name(folder: Path) -> None:
    assert [s.id for s in open_data(folder, options=Options(split="test")).samples] == ["lung"]
    with pytest.raises(DataError, match="train, test"):
        open_data(folder, options=Options(split="val"))


def test_a_broken_annotation_file_is_named(folder: Path) -> None:
    (folder / "anns" / "train.json").write_text('[{"img_name": "heart.jpg"}]')
    with pytest.raises(DataError, match=r"train\.json"):
        open_data(folder)
