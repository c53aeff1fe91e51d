"""Seconds quiet and beside one busy process, with threads that spin and threads that sleep.

    python lab/threads/disturbed.py            every job, both policies, in turn
    python lab/threads/disturbed.py click      one of: click, find, track, adapt

Each job runs in a process of its own, with two threads; the four cases are taken in turn, round by round, so that all
meet the same machine. ``click`` is a new session and its first click with nano in PyTorch. Prints a Markdown table of
medians: seconds, for ``adapt`` the training steps made in twenty seconds, more being better.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROUNDS = 3
POLICIES = {  # what the environment says; nothing that segue would set is left to it
    "spinning": {"OMP_WAIT_POLICY": "ACTIVE", "OPENBLAS_THREAD_TIMEOUT": "26"},
    "sleeping": {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_THREAD_TIMEOUT": "4"},
}


def scene(folder: Path, count: int) -> None:
    """Photograph-like frames of an ellipse that moves, with their masks."""
    import numpy as np

    from segue.data.io.image import write_image, write_labels
    from segue.evaluation.benchmark import sample_image, sample_mask

    image, mask = sample_image((360, 480)), sample_mask((360, 480))
    for index in range(count):
        write_image(folder / "images" / f"{index:02d}.png", np.roll(image, 6 * index, axis=1))
        write_labels(folder / "masks" / f"{index:02d}.png", np.roll(mask, 6 * index, axis=1))


def click(folder: Path) -> float:
    import segue
    from segue.evaluation.benchmark import sample_image

    model = segue.load("nano", config={"engine": "torch"}, device="cpu")
    image = sample_image((480, 640))
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        segue.Session(model, image).add(segue.Click(320, 240))
        seconds.append(time.perf_counter() - began)
    return median(seconds[1:])


def find(folder: Path) -> float:
    import segue

    began = time.perf_counter()
    files = {"reference": folder / "images" / "00.png", "mask": folder / "masks" / "00.png"}
    segue.find(**files, images=[str(folder / "images")], output=folder / "found", force=True)
    return time.perf_counter() - began


def track(folder: Path) -> float:
    import segue

    files = {"reference": folder / "images" / "00.png", "mask": folder / "masks" / "00.png"}
    fps = segue.track(**files, frames=folder / "images", output=folder / "tracked", force=True).fps
    return 1 / (fps or 1)


def adapt(folder: Path) -> float:
    import segue
    from segue.adapters.base import attach
    from segue.adapters.registry import ADAPTERS
    from segue.data.formats.registry import open_data
    from segue.training.click_run import ClickSettings, adapter_run

    model = segue.load("nano", device="cpu")
    adapter = attach(model, ADAPTERS.load("detail")(model))
    samples, settings = open_data(folder).samples, ClickSettings(minutes=1 / 3)
    run = adapter_run(model, adapter, samples, settings, None, folder / "checkpoint.pt")
    run.run()
    return float(run.steps)


JOBS = {"click": click, "find": find, "track": track, "adapt": adapt}


def measure(job: str, folder: Path, policy: str, busy: bool) -> float:
    from segue.evaluation.machine import busy_process

    unset = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_", "GOMP_"))}
    environment = unset | POLICIES[policy] | {"OMP_NUM_THREADS": "2"}
    with busy_process() if busy else contextlib.nullcontext():
        command = [sys.executable, __file__, "--run", job, str(folder)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def main(jobs: list[str]) -> None:
    """Print the table."""
    cases = [(policy, busy) for policy in POLICIES for busy in (False, True)]
    print("| | " + " | ".join(f"{policy}, {'disturbed' if busy else 'quiet'}" for policy, busy in cases) + " |")
    print("|---" * (len(cases) + 1) + "|")
    for job in jobs:
        with tempfile.TemporaryDirectory() as name:
            scene(Path(name), 8)
            rounds = [[measure(job, Path(name), *case) for case in cases] for _ in range(ROUNDS)]
        values = [median(column) for column in zip(*rounds, strict=True)]
        print(f"| {job} | " + " | ".join(f"{value:.2f}" for value in values) + " |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        print(JOBS[sys.argv[2]](Path(sys.argv[3])))
    else:
        main(sys.argv[1:] or list(JOBS))
