"""Later clicks of a dialogue: each changes what it is connected to, is obeyed, and is taken back exactly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import segue
from segue.core.types import Box, Click, Image, Mask
from segue.models.nano.model import Nano
from segue.session.session import Session


@pytest.fixture(scope="module")
def nano() -> Nano:
    model = segue.load("nano", device="cpu")
    assert isinstance(model, Nano)
    return model


@pytest.fixture(scope="module")
def photo(shared: Path) -> Image:
    path = sorted((shared / "data" / "train" / "coco_instances" / "images").glob("*.jpg"))[7]
    image = cv2.imread(str(path))
    return np.ascontiguousarray(image[:, :, ::-1])


def clicks(image: Image, count: int, seed: int) -> list[Click]:
    rng = np.random.default_rng(seed)
    h, w = image.shape[:2]
    return [Click(int(rng.integers(w)), int(rng.integers(h)), bool(rng.integers(2))) for _ in range(count)]


def parts_of(changed: Mask) -> tuple[int, Mask]:
    count, parts = cv2.connectedComponents(changed.astype(np.uint8), connectivity=8)
    return count - 1, parts.astype(np.int32)


@pytest.mark.parametrize("enlarged", [1, 4])
def test_a_correction_changes_one_connected_part_that_holds_the_click(nano: Nano, photo: Image, enlarged: int) -> None:
    image = cv2.resize(photo, None, fx=enlarged, fy=enlarged) if enlarged > 1 else photo
    h, w = image.shape[:2]
    session = Session(nano, image)
    before = session.add(Click(w // 2, h // 2), *clicks(image, nano.close.corrections_from - 2, 0))
    for click in clicks(image, 12, 1):
        after = session.add(click)
        count, parts = parts_of(before != after)
        assert after[int(click.y), int(click.x)] == click.positive
        assert count <= 1
        if before[int(click.y), int(click.x)] != click.positive:
            assert parts[int(click.y), int(click.x)] == 1
        before = after


def test_the_first_click_on_a_given_mask_already_corrects_it(nano: Nano, photo: Image) -> None:
    h, w = photo.shape[:2]
    mask = np.zeros((h, w), bool)
    mask[h // 4 : h // 2, w // 4 : w // 2] = True
    mask[5:9, 5:9] = True  # far away: a speck that must stay
    session = Session(nano, photo)
    assert np.array_equal(session.set_mask(mask), mask)
    after = session.add(Click(w // 2 + 6, h // 3))
    assert after[h // 3, w // 2 + 6]
    assert after[5:9, 5:9].all()
    assert parts_of(mask != after)[0] == 1
    again = session.add(Click(w // 4 + 3, h // 3, positive=False))
    assert not again[h // 3, w // 4 + 3]
    assert parts_of(after != again)[0] == 1


def test_a_guess_is_decided_anew_where_a_mask_would_be_kept(nano: Nano) -> None:
    """A map that is unsure, say of one example, is no mask that a click leaves alone."""
    image = np.full((240, 320, 3), (90, 110, 130), np.uint8)
    cv2.circle(image, (160, 120), 50, (220, 60, 40), -1, cv2.LINE_AA)
    mask = np.zeros((240, 320), np.float32)
    cv2.circle(mask, (160, 120), 46, 1.0, -1)
    mask[10:16, 10:16] = 1.0  # a speck
    features = nano.encode([image])
    kept, anew = (
        nano.decode(features, [Click(160, 168)], nano.memory_from_mask(features, guess)).mask()
        for guess in (mask, 0.1 + 0.8 * mask)
    )
    assert kept[10:16, 10:16].all()
    assert not anew[10:16, 10:16].any()
    assert kept[120, 160]
    assert anew[120, 160]


def test_undo_and_redo_are_exact_across_corrections_and_boxes(nano: Nano, photo: Image) -> None:
    h, w = photo.shape[:2]
    prompts = [Click(w // 2, h // 2), *clicks(photo, 8, 2), Box(w // 4, h // 4, w // 2, h // 2), *clicks(photo, 3, 3)]
    session, shown = Session(nano, photo), list[Mask]()
    for prompt in prompts:
        shown.append(session.add(prompt))
    for turn in reversed(range(len(prompts) - 1)):
        assert np.array_equal(session.undo(), shown[turn])
    for turn in range(1, len(prompts)):
        assert np.array_equal(session.redo(), shown[turn])
    session.undo()
    assert np.array_equal(session.add(prompts[-1]), shown[-1]), "the same click after an undo"


def test_a_far_away_part_can_be_added_and_a_hole_made(nano: Nano) -> None:
    image = np.full((480, 640, 3), (90, 110, 130), np.uint8)
    cv2.circle(image, (150, 240), 90, (220, 60, 40), -1)
    cv2.circle(image, (150, 240), 25, (90, 110, 130), -1)
    cv2.circle(image, (560, 100), 30, (220, 60, 40), -1)
    session = Session(nano, image)
    session.set_mask(np.hypot(*(np.mgrid[:480, :640] - np.array([240, 150])[:, None, None])) < 90)
    session.add(Click(150, 240, positive=False))
    mask = session.add(Click(560, 100))
    assert mask[100, 560]
    assert mask[240, 90]
    assert not mask[240, 150]
    assert 1500 < mask[60:140, 500:].sum() < 5000


def test_a_hundred_clicks_keep_little(nano: Nano, photo: Image) -> None:
    session = Session(nano, photo)
    for click in [Click(photo.shape[1] // 2, photo.shape[0] // 2), *clicks(photo, 99, 4)]:
        session.add(click)
    kept = {t.ctypes.data: t.nbytes for step in session._done for t in step.memory.values()}
    assert sum(kept.values()) < 200 * 2**20
