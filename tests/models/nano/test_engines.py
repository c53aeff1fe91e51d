"""The optimised graphs that are kept on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import segue
from segue.core.files import file_digest
from segue.models.nano import engines
from segue.models.nano.engines import graph_path, open_graph
from segue.models.pretrained import shipped_file

IMAGE = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
ENCODER = graph_path(shipped_file("nano"), "encoder")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "segue" / "graphs"


def answer() -> np.ndarray:
    session = segue.Session(segue.load("nano"), IMAGE)
    session.add(segue.Click(40, 30))
    assert session.probability is not None
    return session.probability


def test_kept_graphs_are_made_once_and_answer_the_same(kept: Path) -> None:
    first = answer()
    files = {path: path.stat().st_mtime_ns for path in kept.iterdir()}
    assert len(files) == 2
    again = answer()
    assert {path: path.stat().st_mtime_ns for path in kept.iterdir()} == files
    assert np.array_equal(first, again)


def test_a_damaged_one_is_made_anew(kept: Path) -> None:
    open_graph(ENCODER)
    (file,) = kept.iterdir()
    file.write_bytes(file.read_bytes()[:-100] + b"\0" * 100)
    open_graph(ENCODER)
    (made,) = kept.iterdir()
    assert made.stem.endswith(f"-{file_digest(made)}")


def test_where_nothing_can_be_kept_the_shipped_graph_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "cache_folder", lambda name: tmp_path / "none" / name)
    assert answer().shape == IMAGE.shape[:2]
    assert not (tmp_path / "none").exists()
