"""The public face: exactly the names that are promised, each importable, and the floors of the house kept."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import segue
from segue.data.io.image import write_image, write_labels

ROOT = Path(__file__).resolve().parents[1]


TYPES = ["Box", "Click", "Reference", "SamAutomaticMaskGenerator", "SamPredictor", "SegueError", "Session", "Text"]
JOBS = ["adapt", "bench", "calibrate", "check", "convert", "convert_data", "encode", "evaluate", "export", "find"]
JOBS += ["get", "label", "mask", "masks", "one_shot", "propose", "study", "track", "track_set", "train"]


def test_exactly_the_promised_names_are_public() -> None:
    assert segue.__all__ == sorted([*TYPES, *JOBS, "load", "read_image"])
    for name in segue.__all__:
        assert name in dir(segue)
        assert getattr(segue, name).__doc__, name


@pytest.mark.parametrize("name", JOBS)
def test_a_jobs_keywords_are_the_fields_of_its_configuration(name: str) -> None:
    job = getattr(segue, name)
    config = next(iter(inspect.signature(inspect.unwrap(job), eval_str=True).parameters.values())).annotation
    assert list(inspect.signature(job).parameters) == list(inspect.signature(config).parameters)


@pytest.mark.parametrize("line", ["import segue", "from segue.cli import main; main(['--help'])"])
def test_importing_segue_and_asking_for_help_stay_light(line: str) -> None:
    heavy = {"torch", "transformers", "numpy", "fastapi", "matplotlib", "cv2", "scipy", "pydantic"}
    code = f"import sys; {line}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


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
    assert row.objects == 1
    assert len(row.miou_at) == 2
    with pytest.raises(segue.SegueError, match="max_click"):
        segue.evaluate(data=tmp_path, max_click=3)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="evalute"):
        segue.evalute  # noqa: B018
