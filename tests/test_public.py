"""The public face: exactly the names that are promised, each importable, and the floors of the house kept."""

import subprocess
import sys
from pathlib import Path

import segue

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
