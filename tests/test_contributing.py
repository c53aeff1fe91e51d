"""The recipes of CONTRIBUTING.md, followed to the letter: every block becomes a file, is imported, and works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
BLOCKS = dict(re.findall(r"```python\n# (my_\w+)\.py\n(.*?)```", TEXT, re.S))
CHECKS = {
    "my_adapter": """
import numpy as np, torch, segue
import my_adapter
from segue.adapters.base import attach, disabled
from segue.adapters.registry import ADAPTERS
from segue.models.registry import MODELS
from segue.models.pretrained import build
model = build("simpleclick-base", MODELS["simpleclick-base"].tiny).eval()
image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
answer = lambda: segue.Session(model, image).add(segue.Click(30, 30)) is not None and \\
    model.decode(model.encode([image]), [segue.Click(30, 30)]).logits
with torch.no_grad():
    before = answer()
    adapter = attach(model, ADAPTERS.load("sharpness")(model))
    assert (answer() == before).all()
    for parameter in adapter.parameters():
        parameter.fill_(2.0)
    assert (answer() != before).any()
    with disabled(model):
        assert (answer() == before).all()
""",
    "my_metric": """
import numpy as np
import my_metric
from segue.metrics.registry import METRICS
assert METRICS.load("area-error")(np.ones((2, 3), bool), np.ones((2, 2), bool)) == 0.5
""",
    "my_format": """
import pathlib, tempfile
import numpy as np
import my_format
from segue.data.formats.registry import open_data
from segue.data.io.image import write_image, write_labels
with tempfile.TemporaryDirectory() as folder:
    write_image(f"{folder}/frames/a.png", np.full((8, 9, 3), 50, np.uint8))
    write_labels(f"{folder}/outlines/a.png", np.eye(8, 9, dtype=bool))
    data = open_data(folder)
    assert data.format == "cells", data.format
    ((_, target),) = [sample.read() for sample in data.samples]
    assert target.annotations[0].mask.sum() == 8
""",
    "my_command": """
import json, tempfile
import numpy as np
import my_command
from segue.data.io.image import write_labels
with tempfile.TemporaryDirectory() as folder:
    write_labels(f"{folder}/mask.png", np.eye(5, dtype=bool))
    assert my_command.area(mask=f"{folder}/mask.png").pixels == 5
    words = ["--mask", f"{folder}/mask.png", "--json", f"{folder}/area.json"]
    my_command.command.build("area", "Count the pixels of a mask.")(words, standalone_mode=False)
    assert json.load(open(f"{folder}/area.json"))["pixels"] == 5
""",
}


def test_every_recipe_with_a_block_is_checked() -> None:
    assert set(BLOCKS) == set(CHECKS)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_recipe_works_as_it_stands(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text(BLOCKS[name])
    paths = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", CHECKS[name]], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_rooms_are_those_of_the_package() -> None:
    rooms = {path.name for path in (ROOT / "src" / "segue").iterdir() if (path / "__init__.py").is_file()}
    named = set(re.findall(r"`(\w+)/", TEXT))
    assert rooms - {"samples"} <= named
