"""Photos with masks for DreamBooth: picture and mask stay together."""

import numpy as np
import pytest
import torch

from segue.core.errors import DataError
from segue.data.io.image import write_image, write_labels
from segue.data.subjects import Subjects, collate


@pytest.fixture
def folder(tmp_path):
    """The object is red, so that the picture itself tells where its mask should be."""
    for i, (h, w) in enumerate([(60, 90), (90, 50), (64, 64)]):
        image, mask = np.zeros((h, w, 3), np.uint8), np.zeros((h, w), bool)
        mask[h // 4 : h // 2, w // 3 : w - 5] = True
        image[mask] = (255, 0, 0)
        write_image(tmp_path / "photos" / f"{i}.png", image)
        write_labels(tmp_path / "masks" / f"{i}.png", mask if i < 2 else mask & False)
    return tmp_path


@pytest.mark.parametrize(("crop", "flip"), [("center", False), ("random", True)])
def test_picture_and_mask_are_cut_and_mirrored_together(folder, crop, flip):
    data = Subjects(folder / "photos", folder / "masks", size=32, crop=crop, flip=flip, seed=4)
    for _ in range(4):
        for item in (data[i] for i in range(len(data))):
            red = item["pixels"][0] > 0
            assert (red == (item["mask"][0] > 0)).float().mean() > 0.93


def test_photos_in_which_the_subject_is_absent_are_left_out(folder):
    assert len(Subjects(folder / "photos", folder / "masks", size=32)) == 2
    with pytest.raises(DataError, match="segue find"):
        Subjects(folder / "photos" / "2.png", folder / "masks")


def test_pixels_are_in_minus_one_to_one(folder):
    item = Subjects(folder / "photos", folder / "masks", size=32)[0]
    assert item["pixels"].min() == -1
    assert item["pixels"].max() == 1


def test_a_crop_that_lost_its_subject_is_dropped_from_the_batch():
    here = {"pixels": torch.ones(3, 4, 4), "mask": torch.ones(1, 4, 4)}
    gone = {"pixels": torch.zeros(3, 4, 4), "mask": torch.zeros(1, 4, 4)}
    assert collate([gone, here])["pixels"].min() == 1
    assert len(collate([gone])["mask"]) == 1
