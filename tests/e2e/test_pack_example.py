"""The example that shrinks training data for an upload."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from segue.training.view_sampler import build_pack
from tests.examples import example_module


def test_packed_data_trains_as_the_original_does(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / "full" / "toys" / kind).mkdir(parents=True)
    labels = np.zeros((300, 400), np.uint8)
    labels[100:200, 100:300] = 5
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "full" / "toys" / "images" / "a.jpg"), rng.integers(0, 255, (300, 400, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "full" / "toys" / "masks" / "a.png"), labels)
    (tmp_path / "full" / "toys" / "README.txt").write_text("CC BY 4.0")
    written = example_module("pack_training_data").pack(tmp_path / "full", tmp_path / "small", longest=200, quality=70)
    assert 0 < written < sum(p.stat().st_size for p in (tmp_path / "full").rglob("*") if p.is_file())
    assert (tmp_path / "small" / "toys" / "README.txt").read_text() == "CC BY 4.0"
    scene = build_pack([tmp_path / "small" / "toys"], tmp_path / "cache").scenes[0]
    assert scene.size == (150, 200)
    assert set(scene.objects) == {5}
    assert abs(scene.objects[5][0] - 5000) < 400
