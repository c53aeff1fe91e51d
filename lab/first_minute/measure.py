"""What a new user's first minute costs: installing, asking for help, the first mask, the annotator's page.

    python lab/first_minute/measure.py                              a plain install of this checkout
    python lab/first_minute/measure.py torch=constraints.txt        with extras, a venv for each, and pip's constraints
    python lab/first_minute/measure.py --before CHECKOUT            also another state of the sources, in turn

Builds a wheel and installs it in fresh virtual environments outside the checkout. Then every command runs in a process
of its own, all environments in turn, round by round, so that they meet the same machine; medians. Seconds of processor
time count the user's and the system's of all threads; "cold" is with an empty cache folder. ``--before`` runs the
sources of a checkout with the libraries of the Python that runs this script. Prints Markdown tables.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROUNDS = 5
CHECKOUT = Path(__file__).resolve().parents[2]
PHOTO, CLICK = CHECKOUT / "src/segue/samples/cat.jpg", "225,150"


@dataclass(frozen=True)
class Installation:
    """A Python with segue, and what installing it took (nothing where it was there)."""

    name: str
    python: Path
    environment: dict[str, str] = field(default_factory=dict)
    megabytes: int | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Cost:
    """Seconds of processor time and of wall time, and peak memory."""

    processor: float
    wall: float
    megabytes: float


def install(name: str, wheel: Path, extras: str, constraint: str, folder: Path) -> Installation:
    """A fresh environment with the wheel; pip's own cache as it is."""
    python = folder / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    target = f"{wheel}[{extras}]" if extras else str(wheel)
    limits = ["--constraint", str(Path(constraint).resolve())] if constraint else []
    began = time.perf_counter()
    subprocess.run([python, "-m", "pip", "install", "--quiet", target, *limits], check=True, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    files = {(s.st_dev, s.st_ino): s.st_blocks * 512 for p in folder.rglob("*") if (s := p.lstat())}
    return Installation(name, python, {}, round(sum(files.values()) / 2**20), seconds)


def run(installation: Installation, *words: str, cache: Path) -> Cost:
    """What one ``segue`` command costs."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)} | installation.environment
    began = time.perf_counter()
    command = [installation.python, "-m", "segue", *words]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, (installation.name, words)
    spent = used.ru_utime + used.ru_stime
    return Cost(spent, time.perf_counter() - began, used.ru_maxrss / 1024)


@contextmanager
def annotator(installation: Installation, cache: Path) -> Iterator[tuple[int, str]]:
    """The process and the address of a running annotator on a folder with one photo."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"} | installation.environment
    command = [installation.python, "-m", "segue", "annotate", cache.parent / "photos", "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        yield (
            process.pid,
            next(word.rstrip(".,") for line in process.stdout for word in line.split() if word.startswith("http://")),
        )
    finally:
        process.terminate()
        process.communicate()


def page_ready(installation: Installation, cache: Path) -> Cost:
    """What it costs until the annotator's page is served."""
    began = time.perf_counter()
    with annotator(installation, cache) as (process, address):
        urllib.request.urlopen(address, timeout=60).read()  # its socket listens before the address is printed
        wall = time.perf_counter() - began
        stat = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        memory = Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2].split()[0]
    return Cost((int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"), wall, int(memory) / 1024)


def measure(installation: Installation, folder: Path) -> dict[str, Cost]:
    """One round of every command."""
    for name in ("cache", "photos"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    shutil.copy(PHOTO, folder / "photos")
    cache = folder / "cache"
    words = ("mask", str(PHOTO), "--click", CLICK, "-o", str(folder / "mask.png"))
    costs = {"`segue --help`": run(installation, "--help", cache=cache)}
    costs["`segue mask`, cold"] = run(installation, *words, cache=cache)
    costs["`segue mask`"] = run(installation, *words, cache=cache)
    costs["annotator's page, first time in a folder"] = page_ready(installation, cache)
    costs["annotator's page"] = page_ready(installation, cache)
    return costs


def main(arguments: list[str]) -> None:
    """Print the tables."""
    before = Path(arguments.pop(arguments.index("--before") + 1)) if "--before" in arguments else None
    wanted = [argument.partition("=") for argument in arguments if argument != "--before"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, CHECKOUT]
        subprocess.run(command, check=True)
        wheel = next(folder.glob("*.whl"))
        found = [install("plain", wheel, "", "", folder / "plain")]
        found += [
            install(extras, wheel, extras, limits, folder / f"venv-{i}") for i, (extras, _, limits) in enumerate(wanted)
        ]
        print("| install | on disk | time |\n|---|---|---|")
        for each in found:
            print(f"| {each.name} | {each.megabytes} MB | {each.seconds:.0f} s |", flush=True)
        if before is not None:
            found.append(Installation("before", Path(sys.executable), {"PYTHONPATH": str(before.resolve() / "src")}))
        rounds = [{each.name: measure(each, folder) for each in found} for _ in range(ROUNDS)]
    names = [each.name for each in found]
    print("\n| | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
    for row in rounds[0]["plain"]:
        cells = []
        for each in names:
            costs = [one[each][row] for one in rounds]
            processor, wall, memory = (median(getattr(c, f) for c in costs) for f in ("processor", "wall", "megabytes"))
            cells.append(f"{processor:.2f} s ({wall:.2f} s on the wall), {memory:.0f} MB")
        print(f"| {row} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
