"""Clips out of a project from the command line: videos as pictures, stacks as the volumes they came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import tifffile
from fastapi.testclient import TestClient

from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from segue.cli import main
from segue.data.io.image import read_labels
from segue.data.io.volume import open_volume
from tests.annotator.clips import LENGTH, truth, video_clip
from tests.annotator.fake_model import ColourModel
from tests.annotator.person import runs
from tests.annotator.test_clips import Viewer

SHAPE = (5, 30, 40)  # slices, rows, columns


def numbers(dtype: str = "uint16") -> np.ndarray:
    top = 4000 if dtype == "uint16" else 255
    return np.random.default_rng(1).integers(0, top, SHAPE).astype(dtype)


def drawn(home: Path, marks: dict[int, tuple[slice, slice]], axis: int = 0) -> None:
    """Draw one object into slices as they are shown, and accept the clip."""
    with TestClient(build(AnnotateConfig(folder=home), load=ColourModel), base_url="http://localhost") as client:
        viewer = Viewer(client)
        out = viewer.go(0)
        if axis:
            viewer.act(kind="axis", axis=axis)
        for frame, place in marks.items():
            out = viewer.go(frame)
            mask = np.zeros((out["height"], out["width"]), bool)
            mask[place] = True
            viewer.act(kind="stroke", object="a", pixels=runs(mask), label=1)
        viewer.act(kind="state", state="accepted")


def export(home: Path, name: str, out: Path, capsys: Any) -> None:
    assert main(["annotate", str(home), "--export", name, "-o", str(out), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["exported images"] == 1


def test_a_video_leaves_as_palette_pictures(tmp_path, capsys):
    video_clip(tmp_path / "photos" / "clip.mp4")
    place = np.nonzero(truth(0))
    square = slice(place[0].min(), place[0].max() + 1), slice(place[1].min(), place[1].max() + 1)
    drawn(tmp_path / "photos", {0: square})
    export(tmp_path / "photos", "davis-video", tmp_path / "out", capsys)
    files = sorted((tmp_path / "out" / "Annotations" / "clip").iterdir())
    assert len(files) == LENGTH
    assert ((read_labels(files[0]) == 1) == truth(0)).all()
    assert not read_labels(files[1]).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_nifti_file_leaves_with_its_affine_and_its_labels_where_they_were_seen(tmp_path, capsys, axis):
    home, place = tmp_path / "photos", (slice(1, 3), slice(2, 5))
    home.mkdir()
    affine = np.array([[-0.5, 0.1, 0, 10], [0, 0.7, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]])
    nibabel.save(nibabel.Nifti1Image(numbers().T, affine), home / "scan.nii.gz")
    drawn(home, {3: place}, axis)
    export(home, "nifti", tmp_path / "out", capsys)
    written = nibabel.load(tmp_path / "out" / "labels" / "scan.nii.gz")
    source = nibabel.load(home / "scan.nii.gz")
    assert np.allclose(written.affine, affine, atol=1e-6)
    assert np.allclose(written.header.get_zooms(), source.header.get_zooms())
    assert written.shape == source.shape
    assert written.get_data_dtype() == np.uint8
    volume = open_volume(tmp_path / "out" / "labels" / "scan.nii.gz")
    labels = np.zeros(volume.size(axis), np.uint8)
    labels[place] = 1
    seen = [volume.seen(volume.plane(axis, k), axis) for k in range(volume.shape[axis])]
    assert (seen[3] == labels).all()
    assert sum(plane.any() for plane in seen) == 1
    meta = json.loads((tmp_path / "out" / "meta.json").read_text())["videos"]["scan"]["objects"]
    assert meta == {"1": {"category": "object", "id": "a", "frames": ["00003"]}}


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("name", ["tiff", "nifti"])
def test_a_tiff_stack_keeps_its_spacing(tmp_path, capsys, dtype, name):
    home, place = tmp_path / "photos", (slice(4, 20), slice(6, 9))
    home.mkdir()
    about = {"axes": "ZYX", "spacing": 2.5}
    tifffile.imwrite(home / "cells.tif", numbers(dtype), imagej=True, resolution=(4, 2), metadata=about)
    drawn(home, {1: place, 4: place})
    export(home, name, tmp_path / "out", capsys)
    volume = open_volume(tmp_path / "out" / "labels" / ("cells.tif" if name == "tiff" else "cells.nii.gz"))
    assert volume.spacing == pytest.approx((2.5, 0.5, 0.25))
    wanted = np.zeros(SHAPE, np.uint8)
    wanted[1][place] = wanted[4][place] = 1
    assert (np.stack([volume.plane(0, k) for k in range(SHAPE[0])]) == wanted).all()


def test_clips_of_one_name_are_kept_apart_and_no_clip_is_written_over(tmp_path, capsys):
    home = tmp_path / "labels"
    home.mkdir()
    np.save(home / "a.npy", numbers())
    tifffile.imwrite(home / "a.tif", numbers())
    drawn(home, {0: (slice(1, 3), slice(1, 3))})
    assert main(["annotate", str(home), "--export", "tiff", "-o", str(tmp_path / "out"), "--all"]) == 0
    with TestClient(build(AnnotateConfig(folder=home), load=ColourModel), base_url="http://localhost") as client:
        viewer = Viewer(client, image=2)
        viewer.go(0)
        viewer.act(kind="stroke", object="b", pixels=runs(np.ones(SHAPE[1:], bool)), label=1)
    assert main(["annotate", str(home), "--export", "tiff", "-o", str(tmp_path / "out"), "--all"]) == 0
    files = sorted((tmp_path / "out" / "labels").iterdir())
    assert [file.name for file in files] == ["a.tif", "a_2.tif"]
    assert sorted(int(tifffile.imread(file).sum()) for file in files) == [4, SHAPE[1] * SHAPE[2]]
    before = (home / "a.tif").read_bytes()
    (home / "a.npy").unlink()
    capsys.readouterr()
    assert main(["annotate", str(home), "--export", "tiff", "-o", str(tmp_path), "--all"]) == 1
    assert "which is the clip" in capsys.readouterr().err
    assert (home / "a.tif").read_bytes() == before
