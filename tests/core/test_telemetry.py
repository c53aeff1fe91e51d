"""segue's libraries report nothing to their makers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CLICK = """
import numpy as np, segue
segue.Session(segue.load("nano"), np.zeros((32, 48, 3), np.uint8)).add(segue.Click(20, 10))
"""


def _run(code: str, cache: Path, **environment: str) -> str:
    inherited = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | {"XDG_CACHE_HOME": str(cache), "HOME": str(cache)} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_click_leaves_nothing_but_segue_s_own_files_in_the_cache(tmp_path: Path) -> None:
    _run(CLICK, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["segue"]


def test_what_the_user_decided_stays(tmp_path: Path) -> None:
    said = _run("import os, segue; print(os.environ['ORT_DISABLE_TELEMETRY'])", tmp_path, ORT_DISABLE_TELEMETRY="0")
    assert said == "0"
