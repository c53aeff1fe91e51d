"""The robot on samples: the base is measured once, whatever adapters come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segue.core.errors import DataError
from segue.data.formats.registry import open_data
from segue.data.record import Annotation, Sample
from segue.evaluation.adapt_clicks import annotate, robot_log
from segue.models.registry import MODELS
from segue.session.load import build
from tests.training.toys import small, write_disks


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_disks(tmp_path_factory.mktemp("disks"), 2)


def test_the_base_is_measured_once(disks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = small(), open_data(disks).samples[:2]
    with robot_log(model, tmp_path, most=3) as rows:
        first = [o.trace for o in annotate(model, samples, 3, rows=rows)]
    monkeypatch.setattr(model, "encode", lambda *_: pytest.fail("the model was asked again"))
    with robot_log(model, tmp_path, most=3) as rows:
        again = [o.trace for o in annotate(model, samples, 3, rows=rows)]
    assert [(c.clicks, c.ious, c.boundary_ious) for c in again] == [(c.clicks, c.ious, c.boundary_ious) for c in first]


def test_another_base_or_mask_is_measured_anew(disks: Path, tmp_path: Path) -> None:
    model, sample = small(), open_data(disks).samples[0]
    other = Annotation.from_mask(~sample.load().annotations[0].mask, id="other")
    with robot_log(model, tmp_path, most=3) as rows:
        annotate(model, [sample], 3, rows=rows)
        annotate(model, [replace(sample, load=lambda: replace(sample.load(), annotations=(other,)))], 3, rows=rows)
        assert len(rows) == 2
    torch.manual_seed(1)
    with robot_log(build("nano", MODELS["nano"].tiny).eval(), tmp_path, most=3) as rows:
        assert len(rows) == 0


def test_images_without_a_mask_are_counted() -> None:
    with pytest.raises(DataError, match=r"got 1 images without any object.*segue annotate"):
        annotate(small(), [Sample.from_arrays("a", np.zeros((4, 4, 3), np.uint8))])
