"""Small things that a day's work stumbles over: shades, buttons that stay, rows that are read at a glance."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.annotator.fake_model import photo
from tests.e2e.conftest import Window, until

RED, BLUE = (36, 40), (110, 80)
LONG = "a-rather-long-name-of-a-series-of-photographs-{}.png"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos whose long names differ at their end."""
    first = photo(tmp_path / "photos" / LONG.format(1041))
    shutil.copy(first, first.with_name(LONG.format(1042)))
    return first.parent


def test_objects_of_one_class_differ_in_shade(window: Window) -> None:
    window.drag((10, 10), (40, 60))
    window.drag((40, 10), (70, 60))
    colours = window.page.evaluate(
        "async () => { const { state, colourOf } = await import('./state.js'); return state.objects.map(colourOf) }"
    )
    assert len({one["label"] for one in window.objects()}) == 1
    assert len(set(colours)) == 2
    swatches = window.page.locator("#object-list .swatch")
    shown = {swatches.nth(at).evaluate("(one) => getComputedStyle(one).backgroundColor") for at in (0, 1)}
    assert len(shown) == 2, "the list shows the same shades"


def test_choosing_a_brush_moves_no_button(window: Window) -> None:
    buttons = window.page.locator("#dock button")

    def places() -> list[float]:
        return [buttons.nth(at).bounding_box()["x"] for at in range(buttons.count())]

    before = places()
    for command in ("tool-brush", "tool-eraser", "tool-click"):
        window.page.click(f"#do-{command}")
        until(lambda command=command: window.state("tool") == command.removeprefix("tool-"))
        assert places() == before


def test_rows_keep_their_thumbnail_their_line_and_the_end_of_a_name(window: Window) -> None:
    page = window.page
    page.wait_for_selector("#image-1 img.there")
    page.evaluate("() => { document.querySelector('#image-1 img').dataset.mark = 'kept' }")
    for number in range(3):
        window.click(*(RED if number % 2 else BLUE))
    until(lambda: "1 object" in page.locator("#image-1 .about").inner_text())
    assert page.locator("#image-1 img.there[data-mark=kept]").count() == 1, "the picture is not loaded anew"
    end = page.locator("#image-2 .name > :last-child")
    assert end.inner_text().endswith("1042.png")
    row = page.locator("#image-2").bounding_box()
    box = end.bounding_box()
    assert box["x"] + box["width"] <= row["x"] + row["width"], "the end is in sight"
    page.mouse.move(*window.at(5, 5))
    window.press("n")
    height = page.locator("#object-list .object .about").bounding_box()["height"]
    assert height < 24, "effort is one line"
