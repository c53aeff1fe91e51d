"""segue calibrate: figures from held-out subjects, a file that segue find reads."""

import json

import numpy as np
import pytest

from segue.cli import main
from segue.core.errors import DataError
from segue.data.io.image import write_image, write_labels
from segue.data.record import Annotation, Sample
from segue.jobs.calibrate import CalibrateConfig, Trial, calibrate, fit_calibration, photo
from tests.jobs.scenes import empty, toy


def trial(index, own, value):
    return Trial(index % 5, own, own, {"value": value, "noise": float(index % 3)})


def test_figures_are_those_of_the_folds_that_were_held_out():
    chance = np.random.default_rng(0)
    trials = [trial(i, i % 4 == 0, float(chance.normal(3.0 * (i % 4 == 0), 1.0))) for i in range(600)]
    calibration, result = fit_calibration(CalibrateConfig(data=("x",), output="x.json", false_rate=0.05), trials)
    assert result.false_finds <= 0.05
    assert result.recall > 0.85
    assert result.located == 1
    assert result.calibration_error < 0.05
    assert (
        calibration.probability({"value": 3.0, "noise": 1.0})
        > 0.9
        > calibration.probability({"value": 0.0, "noise": 1.0})
    )
    assert calibration.figures["recall"] == result.recall


def test_large_photos_shrink_with_their_masks():
    mask = np.zeros((900, 1280), bool)
    mask[300:600, 400:800] = True
    image, annotations = photo(
        Sample.from_arrays("a", np.zeros((900, 1280, 3), np.uint8), [Annotation.from_mask(mask, "a")])
    )
    assert image.shape == (450, 640, 3)
    assert annotations[0].mask.sum() == 150 * 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("calibrate")
    classes = {}
    for index in range(30):
        image, mask = (
            toy((96, 128), at=(48, 60), scale=0.7, seed=index) if index % 2 else (empty((96, 128), index), None)
        )
        write_image(root / "images" / f"{index:02}.png", image)
        write_labels(
            root / "masks" / f"{index:02}.png", np.zeros((96, 128), np.uint8) if mask is None else mask.astype(np.uint8)
        )
        classes[f"{index:02}"] = {} if mask is None else {"1": "toy"}
    (root / "classes.json").write_text(json.dumps(classes))
    return root


def test_the_command_writes_what_find_reads(folder, tmp_path, capsys):
    file = tmp_path / "toys.json"
    words = ["calibrate", str(folder), "-o", str(file), "--subjects", "5", "--own", "1", "--others", "1"]
    assert main([*words, "--same-class", "toy"]) == 0
    assert set(json.loads(file.read_text())) == {"model", "weights", "bias", "threshold", "figures"}
    words = [
        "--reference",
        str(folder / "images/01.png"),
        "--mask",
        str(folder / "masks/01.png"),
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(["find", str(folder / "images/03.png"), *words, "--calibration", str(file)]) == 0
    found = json.loads((tmp_path / "out/results.json").read_text())
    assert found["calibrated"]
    assert found["threshold"] == json.loads(file.read_text())["threshold"]
    capsys.readouterr()
    assert (
        main(["find", str(folder / "images/03.png"), *words, "--force", "--calibration", str(folder / "classes.json")])
        == 1
    )
    assert "no calibration" in capsys.readouterr().err


def test_too_few_subjects_are_said(folder, tmp_path):
    with pytest.raises(DataError, match="subjects of a fit size"):
        calibrate(data=(folder,), output=tmp_path / "x.json", subjects=5, others=1, own=50)
