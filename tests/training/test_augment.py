"""Batches made more varied: colours and pasted cut-outs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segue.core.errors import DataError
from segue.training.augment import FIRST_DRAWN, FIRST_PASTED, CutOuts, jitter_colours


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rgba = np.zeros((40, 60, 4), np.uint8)
    rgba[5:35, 10:50] = (0, 255, 0, 255)
    Image.fromarray(rgba).save(tmp_path / "green.webp", lossless=True)
    return tmp_path


def test_colours_change_and_stay_in_range() -> None:
    pixels = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    out = jitter_colours(pixels, torch.Generator().manual_seed(1))
    assert out.min() >= 0
    assert out.max() <= 1
    assert (out - pixels).abs().mean() > 0.02
    assert torch.equal(out, jitter_colours(pixels, torch.Generator().manual_seed(1)))


def test_a_pasted_cutout_is_labelled_where_it_shows(folder: Path) -> None:
    cutouts = CutOuts.from_folders([folder], canvas=32)
    pixels, labels = torch.zeros(6, 3, 64, 64), torch.full((6, 64, 64), 3, dtype=torch.int32)
    out, marked = cutouts.paste(pixels, labels, 1.0, 1, torch.Generator().manual_seed(0))
    pasted = marked == FIRST_PASTED
    assert pasted.flatten(1).any(1).all()
    assert (marked[~pasted] == 3).all()
    assert (out[:, 1][pasted] > 0.45).all()
    assert out[:, 0].max() < 0.05
    assert out[:, 1][~pasted].max() <= 0.55  # only its soft edge


def test_no_chance_no_paste(folder: Path) -> None:
    pixels, labels = torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int32)
    out, marked = CutOuts.from_folders([folder]).paste(pixels, labels, 0.0, 3, torch.Generator())
    assert torch.equal(out, pixels)
    assert torch.equal(marked, labels)


def test_a_picture_without_alpha_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "plain.webp")
    with pytest.raises(DataError, match="alpha"):
        CutOuts.from_folders([tmp_path])


def test_drawn_shapes_are_pasted_under_labels_of_their_own() -> None:
    pixels, labels = torch.zeros(4, 3, 64, 64), torch.zeros(4, 64, 64, dtype=torch.int32)
    _, marked = CutOuts.drawn(7, seed=3).paste(pixels, labels, 1.0, 1, torch.Generator().manual_seed(0))
    assert set(marked.unique().tolist()) == {0, FIRST_DRAWN}
