"""README, quick start and tutorials, followed to the letter: every Python and shell block runs, as a reader works. The
tutorials go on, one after another, in the folder of the quick start."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STARTS = ["README.md", "docs/index.md"]
PAGES = [
    *STARTS,
    "docs/tutorials/annotate-a-folder.md",
    "docs/tutorials/adapt-to-your-microscope.md",
    "docs/tutorials/find-my-object.md",
    "docs/tutorials/label-a-video.md",
    "docs/tutorials/train-your-own.md",
    "docs/tutorials/serve-label-studio.md",
    "docs/tutorials/deploy-the-graphs.md",
]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.M | re.S)
SERVERS = re.compile(r"^(segue annotate(?!.*--(im|ex)port)|segue serve|python -m http\.server)")
ELSEWHERE = {  # lines that are not run here, and the test that does
    "make ": "Makefile",
    "segue export --to web": "tests/e2e/test_web_page.py",
    "pip install": "tests/test_package.py",
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reader's folder, with ``segue`` and ``python`` as commands."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "bin").mkdir()
    (folder / "site").mkdir()
    for name, words in (("python", ""), ("segue", "-m segue ")):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        script.chmod(0o755)
    return folder


def environment(work: Path) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{work / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def run(work: Path, words: list[str]) -> None:
    done = subprocess.run(words, cwd=work, env=environment(work), capture_output=True, text=True)
    assert done.returncode == 0, f"{words[-1]}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"


def serve(work: Path, line: str) -> None:
    """Start what serves until it says where, and end it as a person does."""
    extra = " --no-browser --port 0" if "annotate" in line else " 0" if "http.server" in line else " --port 0"
    words = shlex.split(line.partition("#")[0] + extra)
    with subprocess.Popen(
        words, cwd=work, env=environment(work), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as server:
        assert server.stdout is not None
        said = []
        for out in server.stdout:
            said.append(out)
            if "http://" in out:
                break
        time.sleep(0.5)  # signal handlers are set after the address is said
        server.send_signal(signal.SIGINT)
        said += server.stdout.readlines()
    assert "http://" in "".join(said), said


def shell(work: Path, text: str) -> None:
    """A block of shell lines, servers apart."""
    lines: list[str] = []
    for line in text.splitlines():
        if SERVERS.match(line):
            run(work, ["bash", "-ec", "\n".join(lines)])
            serve(work, line)
            lines = []
        elif not line.startswith(tuple(ELSEWHERE)):
            lines.append(line)
    run(work, ["bash", "-ec", "\n".join(lines)])


def blocks(page: str) -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / page).read_text())


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_block_of_readme_and_tutorials_runs(work: Path) -> None:
    for page in PAGES:
        assert blocks(page), page
        if page in STARTS:
            shutil.rmtree(work / "photos", ignore_errors=True)
        for language, text in blocks(page):
            try:
                if language == "python":
                    run(work, [sys.executable, "-c", text])
                else:
                    shell(work, text)
            except AssertionError as error:
                pytest.fail(f"{page}: {error}")
    assert (work / "my-masks" / "images" / "cat.jpg").is_file()
    assert (work / "my-adapter" / "report.md").is_file()


def test_every_page_of_tutorials_is_followed() -> None:
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "tutorials").glob("*.md")}
    assert pages <= set(PAGES)
    fences = re.findall(r"^```(\w*)\n", "".join((ROOT / page).read_text() for page in PAGES), re.M)
    assert set(fences) <= {"bash", "python", ""}  # the empty one closes


def test_what_runs_elsewhere_is_there() -> None:
    assert all((ROOT / place).is_file() for place in ELSEWHERE.values())


def test_extras_that_pages_name_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for page in PAGES:
        named = re.findall(r"(?:segue|\.)\[([\w,]+)\]'|extras? `(\w+)`", (ROOT / page).read_text())
        assert {name for pair in named for part in pair for name in part.split(",") if name} <= set(extras), page
