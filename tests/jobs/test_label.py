"""segue label: class names become masks that the annotator takes with their names."""

import json

import numpy as np
import pytest

from segue.cli import main
from segue.core.errors import DataError, InputError
from segue.core.types import Text
from segue.data.formats.registry import open_data
from segue.data.io.image import read_image, read_labels
from segue.jobs.label import LabelConfig, label
from segue.session.load import load
from tests.annotator.fake_model import photo
from tests.annotator.speaking import speaking_folder

NAMES = ["the blue thing", "something red", "grass"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("label")
    speaking_folder(root / "clipseg")
    (root / "photos").mkdir()
    for name in "ab":
        photo(root / "photos" / f"{name}.png", seed=ord(name))
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n\n")
    return root


@pytest.fixture(scope="module")
def done(home):
    given = [str(home / "photos"), "--classes", str(home / "classes.txt"), "--model", str(home / "clipseg")]
    assert main(["label", *given, "--device", "cpu", "--to", "coco", "-o", str(home / "out")]) == 0
    return json.loads((home / "out" / "results.json").read_text())


def test_every_pixel_is_of_the_class_that_is_likeliest_there(home, done):
    model = load(home / "clipseg", device="cpu")
    for row in done["images"]:
        features = model.encode([read_image(row["image"])])
        likely = np.stack([model.decode(features, [Text(name)]).probability() for name in NAMES])
        shown = [one["label"] for one in row["found"]]
        assert shown, "the untrained model says something"
        expected = np.zeros(likely.shape[1:], int)
        for number in reversed(shown):  # the first class wins a tie
            wins = (likely[number - 1] > 0.5) & (likely[number - 1] == likely[[n - 1 for n in shown]].max(0))
            expected[wins] = number
        assert (read_labels(row["mask"]) == expected).mean() > 0.999
        assert [one["name"] for one in row["found"]] == [NAMES[number - 1] for number in shown]


def test_the_annotator_takes_them_with_their_names(home, done, tmp_path):
    photos = str(home / "photos")
    database = ["--db", f"sqlite:///{tmp_path}/p.db"]
    assert main(["annotate", photos, *database, "--import", str(home / "out")]) == 0
    assert main(["annotate", photos, *database, "--export", "coco", "--all", "-o", str(tmp_path / "coco")]) == 0
    exported = {a.name for sample in open_data(tmp_path / "coco").samples for a in sample.load().annotations}
    written = {
        one["name"]
        for row in done["images"]
        for one in row["found"]
        if (read_labels(row["mask"]) == one["label"]).any()
    }
    assert exported == written


def test_what_scores_below_the_threshold_is_left_out(home, tmp_path):
    given = {"images": str(home / "photos" / "a.png"), "classes": home / "classes.txt", "model": str(home / "clipseg")}
    given["images"] = (given["images"],)
    result = label(**given, device="cpu", output=tmp_path, threshold=1.0)
    assert result.images[0].found == ()
    assert not read_labels(result.images[0].mask).any()


def test_mistakes_are_named(home, tmp_path):
    config = {"images": (str(home / "photos"),), "output": tmp_path}
    with pytest.raises(InputError, match="takes none"):
        label(**config, classes=home / "classes.txt", model="nano")
    (tmp_path / "twice.txt").write_text("cat\ncat\n")
    with pytest.raises(DataError, match="'cat' twice"):
        LabelConfig.from_fields(**config, classes=tmp_path / "twice.txt").names()
