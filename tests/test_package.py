"""The wheel and the archive of the sources hold what they should and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import segue

ROOT = Path(__file__).resolve().parents[1]
BUILD = """
import sys
from setuptools import build_meta
made = sys.argv[1]  # setuptools changes the arguments
print(build_meta.build_wheel(made), build_meta.build_sdist(made))
"""
NEEDED = (
    "segue/py.typed",
    "segue/annotator/static/index.html",
    "segue/jobs/site/index.html",
    "segue/models/nano/weights/nano.md",
    "segue/models/nano/weights/nano.safetensors",
    "segue/models/nano/weights/nano-encoder.onnx",
    "segue/models/nano/weights/nano-decoder.onnx",
    "segue/samples/cat.jpg",
    "segue/integrations/napari/napari.yaml",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the archive of what git tracks."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("needs a git checkout")
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    words = [sys.executable, "-c", BUILD, str(made)]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wheel, archive = done.stdout.split()[-2:]
    return made / wheel, made / archive


def test_the_wheel_holds_code_weights_pages_and_licences(built: tuple[Path, Path]) -> None:
    names = zipfile.ZipFile(built[0]).namelist()
    assert set(NEEDED) <= set(names)
    ends = tuple(f".dist-info/licenses/{name}" for name in ("LICENSE", "ATTRIBUTION.md"))
    assert all(any(name.endswith(end) for name in names) for end in ends)
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"segue"}
    modules = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src" / "segue").rglob("*.py")}
    assert modules <= set(names)
    assert built[0].stat().st_size < 15e6


def test_the_description_is_one_that_an_index_renders(built: tuple[Path, Path]) -> None:
    wheel = zipfile.ZipFile(built[0])
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    text = wheel.read(name).decode()
    assert "Description-Content-Type: text/markdown" in text
    assert f"Version: {segue.__version__}\n" in text
    assert "License-Expression: Apache-2.0" in text


def test_the_sources_hold_tests_and_licences(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "ATTRIBUTION.md", "README.md", "pyproject.toml", "src/segue/__init__.py"} <= names


def test_every_collection_of_the_card_is_attributed() -> None:
    card = (ROOT / "src" / "segue" / "models" / "nano" / "weights" / "nano.md").read_text()
    rows = card.partition("## Data")[2].partition("## Procedure")[0].splitlines()[6:]
    sources = [
        word.strip(" ,") for row in rows if row.startswith("|") for word in row.split("|")[3].split() if "/" in word
    ]
    text = (ROOT / "ATTRIBUTION.md").read_text()
    assert len(sources) > 15
    assert [source for source in sources if source not in text] == []


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == segue.__version__
    assert f"## {segue.__version__}" in (ROOT / "CHANGELOG.md").read_text()
