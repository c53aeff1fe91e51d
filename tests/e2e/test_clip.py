"""A clip in a real browser: click, propagate, correct, propagate between, undo, reload, kill -9, export."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segue.data.io.image import read_labels
from tests.annotator.clips import LENGTH, place, truth, video_clip
from tests.annotator.running import Running
from tests.e2e.conftest import Window, until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One video of nine frames."""
    pytest.importorskip("av", reason="needs the extra 'video'")
    return video_clip(tmp_path / "photos" / "clip.mp4").parent


@pytest.fixture
def window(chromium: Any, server: Running) -> Iterator[Window]:
    window = Window(chromium, server.url)
    yield window
    assert window.errors == []
    window.close()


def go(window: Window, frame: int) -> None:
    """Step to a frame with the keyboard, its photo drawn."""
    while (now := window.state("image.frame")) != frame:
        window.page.keyboard.press("<" if now > frame else ">")
        until(lambda now=now: window.state("image.frame") != now)
    window.page.wait_for_selector(f"#stage[data-frame='{frame}']")
    window.settled()


def click_square(window: Window, frame: int) -> None:
    x, y = place(frame)
    window.click(x + 15, y + 15)


def propagate(window: Window, command: str) -> None:
    """Press the button; wait until the run has ended."""
    window.page.click(f"#do-{command}")
    window.settled()
    until(lambda: timeline(window)["state"] == "done", 120)


def timeline(window: Window) -> Any:
    return window.page.evaluate("fetch('api/images/1/timeline').then((answer) => answer.json())")


def iou(window: Window, frame: int) -> float:
    found = np.array(window.mask())
    return float((found & truth(frame)).sum() / (found | truth(frame)).sum())


def test_a_clip_from_the_first_click_to_the_export(window: Window, server: Running, folder: Path, tmp_path: Path):
    until(lambda: window.page.locator("#frame-text").inner_text() == f"1 / {LENGTH} · 0.00 s")
    click_square(window, 0)
    assert iou(window, 0) > 0.95
    propagate(window, "propagate-on")
    for frame in (3, 8):
        go(window, frame)
        until(lambda: window.objects()[0]["mark"] == "propagated")
        assert iou(window, frame) > 0.7
    go(window, 5)
    before = window.objects()[0]["mask_id"]
    window.press("B")
    window.drag((20, 100), (50, 100))  # a stroke makes this a key frame
    assert window.objects()[0]["mark"] == "key"
    assert len(timeline(window)["objects"][0]["keys"]) == 2
    propagate(window, "propagate-between")
    assert window.objects()[0]["mark"] == "key"
    window.press("Control+z")
    window.press("Control+z")
    until(lambda: window.objects()[0]["mask_id"] == before)
    go(window, 2)
    window.press("Control+Shift+z")  # goes to where it is seen
    until(lambda: window.state("image.frame") == 5)
    assert window.objects()[0]["mark"] == "key"
    window.press("Control+z")
    window.page.reload()
    window.shown(1)
    assert window.state("image.frame") == 5
    assert window.objects()[0]["mask_id"] == before
    server.kill()
    again = Running(folder, f"sqlite:///{tmp_path}/project.db", server.port)
    window.page.reload()
    window.shown(1)
    assert window.objects()[0]["mask_id"] == before
    window.press("C")
    go(window, 8)
    click_square(window, 8)
    labels = exported(again.url, tmp_path)
    assert sorted(labels) == [f"{frame:05d}.png" for frame in range(LENGTH)]
    for frame in range(LENGTH):
        found = labels[f"{frame:05d}.png"] == 1
        assert (found & truth(frame)).sum() / (found | truth(frame)).sum() > 0.7
    again.stop()


def exported(url: str, home: Path) -> dict[str, np.ndarray]:
    """Label maps of the clip, by file name."""
    import httpx

    answer = httpx.get(f"{url}/api/export", params={"format": "davis-video", "accepted": "false"}, timeout=60)
    assert answer.status_code == 200, answer.text
    found = {}
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        for name in archive.namelist():
            if name.startswith("Annotations/clip/"):
                path = Path(archive.extract(name, home))
                found[path.name] = read_labels(path)
    return found


def test_gone_and_the_least_sure_frame(window: Window):
    click_square(window, 0)
    propagate(window, "propagate-on")
    go(window, 4)
    window.press("Shift+G")
    assert window.objects()[0]["mark"] == "gone"
    go(window, 6)
    until(lambda: window.objects()[0]["mark"] == "gone")
    window.press("Shift+G")
    assert window.objects()[0]["mark"] in ("propagated", "back")
    window.press("U")
    track = timeline(window)["objects"][0]
    sure = {f: s for f, s in zip(track["frames"], track["scores"], strict=True) if f not in (4, 5, 6)}
    until(lambda: window.state("image.frame") == min(sure, key=sure.get))


def test_play_and_the_line(window: Window):
    window.page.click("#do-play")
    until(lambda: window.state("image.frame") == LENGTH - 1)
    box = window.page.locator("#lanes").bounding_box()
    window.page.mouse.click(box["x"] + 15, box["y"] + 20)
    until(lambda: window.state("image.frame") == 0)
    window.page.focus("#lanes")
    window.page.keyboard.press("End")
    until(lambda: window.state("image.frame") == LENGTH - 1)
