"""The examples that the documents quote run as they stand."""

import importlib.util
from pathlib import Path
from types import ModuleType

from segue.data.image import read_image, read_labels

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_quickstart_finds_the_cat(tmp_path: Path) -> None:
    quickstart = example("quickstart")
    assert 0 < quickstart.main(tmp_path / "mask.png") <= 1
    assert read_labels(tmp_path / "mask.png")[130, 230] == 255


def test_the_readmes_picture_shows_every_sample(tmp_path: Path) -> None:
    picture = example("readme_picture")
    assert set(picture.main(tmp_path / "seen.jpg")) == {p.stem for p in picture.SAMPLES.glob("*.jpg")}
    assert read_image(tmp_path / "seen.jpg").shape[1] > 1000
