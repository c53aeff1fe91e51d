"""A family of models from outside the package: a folder and a row, and every command knows it.

The toy family is copied to a folder of its own, beside the metadata that installing it would leave there, and used in
processes that have that folder on their path.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from segue.core.errors import ConfigError
from segue.models.entry import ModelEntry
from segue.models.registry import MODELS

HERE, ROOT = Path(__file__).parent, Path(__file__).resolve().parents[2]
METADATA = "Metadata-Version: 2.1\nName: toy-family\nVersion: 1.0\n"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and its entry point."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(HERE / "toy_family", folder / "toy_family", ignore=shutil.ignore_patterns("__pycache__"))
    info = folder / "toy_family-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[segue.models]\ntoy = toy_family:TOY\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of one bright block on dark noise."""
    folder, rng = tmp_path_factory.mktemp("data") / "blocks", np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for number in range(4):
        image, labels = rng.integers(0, 60, (64, 80, 3), np.uint8), np.zeros((64, 80), np.uint8)
        x, y = int(rng.integers(2, 50)), int(rng.integers(2, 34))
        image[y : y + 26, x : x + 26], labels[y : y + 26, x : x + 26] = 220, 1
        cv2.imwrite(str(folder / "images" / f"{number}.png"), image)
        cv2.imwrite(str(folder / "masks" / f"{number}.png"), labels)
    return folder


def run(outside: Path, *arguments: str) -> str:
    """What a Python with the toy family installed prints; its standard error where it fails."""
    paths = [str(outside), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_it_passes_the_whole_contract_suite(outside: Path) -> None:
    printed = run(outside, "-m", "pytest", "-p", "no:cacheprovider", "tests/contract/test_models.py", "-k", "toy")
    passed = re.search(r"(\d+) passed", printed)
    assert passed is not None
    assert int(passed[1]) >= 11
    assert "skipped" not in printed


def test_every_command_works_on_it(outside: Path, data: Path, tmp_path: Path) -> None:
    """Trained for five steps, then evaluated, timed and exported."""
    recipe = {
        "model": "toy",
        "steps": 5,
        "batch": 2,
        "output": str(tmp_path / "toy"),
        "device": "cpu",
        "data": {"root": str(data.parent), "folders": {"blocks": 1}, "cache": str(tmp_path / "cache"), "sizes": [64]},
    }
    (tmp_path / "toy.yaml").write_text(json.dumps(recipe))
    trained = json.loads(run(outside, "-m", "segue", "train", str(tmp_path / "toy.yaml"), "--json", "-"))
    assert trained["steps"] == 5
    folder = trained["model"]
    options = ("--data", str(data), "--max-clicks", "2", "--journal", str(tmp_path / "journal"), "--json", "-")
    evaluated = json.loads(run(outside, "-m", "segue", "evaluate", "--model", folder, *options))
    assert evaluated["objects"] == 4
    bench = run(outside, "-m", "segue", "bench", "--model", "toy", "--rounds", "1", "--clicks", "2", "--json", "-")
    assert json.loads(bench)["rows"][0]["click"]["p50"] > 0
    run(outside, "-m", "segue", "export", "--model", folder, "-o", str(tmp_path / "onnx"), "--json", "-")
    assert {p.name for p in (tmp_path / "onnx").glob("*.onnx")} == {"encoder.onnx", "decoder.onnx"}
    assert "toy" in run(outside, "-m", "segue", "models")


def test_a_row_can_be_registered_in_code_and_a_taken_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="a second model 'nano'"):
        MODELS.register("nano", ModelEntry("toy_family.model:Toy", "another nano"))
