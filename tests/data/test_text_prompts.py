"""Texts read off a mask: number, size and place."""

from __future__ import annotations

import numpy as np
import pytest

from segue.data.text_prompts import place_word, size_word, texts_for, visible_parts


def disks(*centres: tuple[int, int], radius: int = 8) -> np.ndarray:
    y, x = np.mgrid[:120, :160]
    return np.logical_or.reduce([(x - cx) ** 2 + (y - cy) ** 2 < radius**2 for cx, cy in centres])


@pytest.mark.parametrize(
    ("centres", "wanted"),
    [
        ([(80, 60)], "one small polyp in the center of the image"),
        ([(20, 20)], "one small polyp in the top left of the image"),
        ([(140, 100)], "one small polyp in the bottom right of the image"),
        ([(80, 15)], "one small polyp in the top of the image"),
        ([(20, 20), (30, 100)], "two small polyps in the left of the image"),
        ([(20, 20), (60, 20), (100, 20)], "three small polyps in the top of the image"),
    ],
)
def test_the_longest_text_says_all_three(centres: list[tuple[int, int]], wanted: str) -> None:
    assert texts_for(disks(*centres), "polyp")[-1] == wanted


def test_specks_are_not_counted_but_a_mask_of_specks_is_one_object() -> None:
    mask = disks((80, 60))
    mask[0, 0] = True
    assert visible_parts(mask) == 1
    assert visible_parts(np.eye(500, dtype=bool)[:, ::3] & False) == 0
    speck = np.zeros((200, 200), bool)
    speck[3, 3] = True
    assert visible_parts(speck) == 1


def test_sizes_go_by_the_share_of_the_image() -> None:
    words = [size_word(disks((80, 60), radius=r), 1) for r in (8, 25, 60)]
    assert words == ["small", "medium", "large"]


def test_a_place_is_the_centre_of_gravity() -> None:
    assert place_word(disks((10, 60), (150, 60))) == "center"


def test_texts_go_from_the_name_to_everything_and_all_differ() -> None:
    texts = texts_for(disks((20, 20)), "foot ulcer")
    assert texts[0] == "foot ulcer"
    assert len(set(texts)) == 4
    assert [len(t) for t in texts] == sorted(len(t) for t in texts)
