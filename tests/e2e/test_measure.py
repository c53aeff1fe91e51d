"""``python -m segue.annotator.measure`` reports what docs/annotator.md says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest


def test_a_folder_of_many_images_is_opened_and_scrolled() -> None:
    """Only the rows in sight are in the page, however many images there are."""
    pytest.importorskip("playwright", reason="needs playwright (extra 'dev')")
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        pytest.skip("needs Chromium (Debian package chromium)")
    words = [sys.executable, "-m", "segue.annotator.measure", "--images", "400"]
    report = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout)
    assert report["images"] == 400
    assert all(report[part]["wall"] > 0 for part in ("first_open_server_s", "open_server_s", "open_page_s"))
    before, after = report["memory_mb"], report["memory_mb_after_scrolling"]
    assert after["server"] < before["server"] + 200
    assert after["page_nodes"] < 400 * 8, "fewer than one row's nodes for every image"
