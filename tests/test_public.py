"""The public face: exactly the names that are promised, each importable, and the floors of the house kept."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import segue
from segue.data.io.image import write_image, write_labels

ROOT = Path(__file__).resolve().parents[1]


def test_every_promised_name_is_there() -> None:
    assert sorted(segue.__all__) == segue.__all__ or sorted(segue.__all__, key=str.lower) == segue.__all__
    for name in segue.__all__:
        assert getattr(segue, name) is not None, name


def test_importing_segue_stays_light() -> None:
    heavy = "{'transformers', 'fastapi', 'matplotlib', 'cv2', 'scipy'}"
    code = f"import sys, segue; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_imports_only_go_downward() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_a_job_takes_keywords_and_is_the_command(tmp_path: Path) -> None:
    image, target = np.full((40, 56, 3), 40, np.uint8), np.zeros((40, 56), bool)
    image[10:30, 15:40], target[10:30, 15:40] = 220, True
    write_image(tmp_path / "data" / "images" / "a.png", image)
    write_labels(tmp_path / "data" / "masks" / "a.png", target)
    row = segue.evaluate(data=tmp_path / "data", max_clicks=2, journal=tmp_path / "journal")
    assert row["objects"] == 1
    assert len(row["miou_at"]) == 2
    with pytest.raises(segue.SegueError, match="max_click"):
        segue.evaluate(data=tmp_path, max_click=3)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="evalute"):
        segue.evalute  # noqa: B018
