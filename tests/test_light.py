"""segue over nano without PyTorch and SciPy: what the light install does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REFUSE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "torchvision", "peft", "accelerate", "scipy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
import numpy as np
import segue
from segue import Box, Click, Reference, Session
from segue.data.io.image import write_image, write_labels

image = np.full((96, 144, 3), 90, np.uint8)
image[20:60, 30:80] = (220, 60, 40)
mask = image[..., 0] > 200
model = segue.load("nano")
"""
DIALOGUE = """
session = Session(model, image)
first = session.add(Click(50, 40))
session.add(Click(120, 80, positive=False))
assert np.array_equal(session.undo(), first)
session.set_mask(mask)
assert session.add(Box(28, 18, 82, 62)).any()
predictor = segue.SamPredictor(model)
predictor.set_image(image)
assert predictor.predict(np.array([[50, 40]]), np.array([1]))[0].shape == (1, 96, 144)
"""
EXAMPLE = """
from segue.oneshot.search import finder
from segue.oneshot.tracker import Tracker

found = finder(model)
assert (found.find(found.encode([image]), Reference(image, mask)).prediction.mask() == mask).mean() > 0.95
assert Tracker(found, image, {1: mask}).step(image)[1].score > 0.5
"""
COMMANDS = """
write_image("data/images/a.png", image)
write_labels("data/masks/a.png", mask)
assert segue.evaluate(data="data", max_clicks=3, journal="journal").noc["0.90"] <= 3
assert segue.mask(image="data/images/a.png", click=((50, 40),), output="out.png").area > 1000
done = segue.find(reference="data/images/a.png", mask="data/masks/a.png", images=("data/images",), output="found")
assert done.images
"""
OTHER_COMMANDS = """
from segue.cli import main

write_image("data/images/a.png", image)
write_labels("data/masks/a.png", mask)
example = ["--reference", "data/images/a.png", "--mask", "data/masks/a.png"]
assert main(["track", "data/images", *example, "-o", "tracked"]) == 0
assert main(["mask", "data/images", "--click", "50,40", "-o", "masks", "--to", "coco"]) == 0
assert main(["convert-data", "data", "--to", "yolo", "-o", "yolo"]) == 0
assert main(["check", "data"]) == 0
assert main(["models"]) == 0
assert main(["annotate", "data/images", "--import", "data/masks/a.png", "--export", "coco", "--all", "-o", "out"]) == 0
"""
MESSAGES = """
import contextlib, io
from segue.cli import main

def said(*words):
    with contextlib.redirect_stderr(io.StringIO()) as errors:
        assert main(list(words)) == 1
    return errors.getvalue()

write_image("a.png", image)
others = ["mask", "a.png", "--click", "50,40", "-o", "m.png", "--model", "simpleclick-xtiny", "--weights", "random"]
for words in (others, ["convert", "a.pth", "-o", "x"], ["bench"], ["export", "-o", "x"]):
    line = said(*words)
    assert line.startswith("error: got no library torch") and "pip install 'segue[torch]'" in line, line
    assert len(line.splitlines()) == 1, line
mask = ["mask", "a.png", "--click", "50,40", "-o", "m.png"]
for words, told in (  # what is wrong is told before what is not installed
    ([*mask, "--weights", "none.pth"], "no weights file none.pth"),
    ([*mask, "--adapter", "none"], "the adapter none, which is not there"),
    (["adapt", "--data", "none", "--adapter", "detail", "-o", "x"], "none, which is not there"),
    (["find", "--reference", "a.png", "--mask", "a.png", "a.png", "-o", "x"], "the photo a.png as its own mask"),
):
    line = said(*words)
    assert told in line and len(line.splitlines()) == 1, line
"""
WRAPPED = """
from segue.models.wrappers import FlipAverage, ZoomIn

assert Session(ZoomIn(FlipAverage(model)), image).add(Click(50, 40)).any()
"""


@pytest.mark.parametrize(
    "what",
    [DIALOGUE, EXAMPLE, COMMANDS, OTHER_COMMANDS, MESSAGES, WRAPPED],
    ids=["dialogue", "example", "commands", "other commands", "messages", "wrapped"],
)
def test_without_pytorch(what: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", REFUSE + what], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
