"""No serious finding of axe-core on any view, dark and light. ``AXE_CORE`` names the folder of the npm package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.annotator.running import Running
from tests.e2e.conftest import Window, until

AXE = Path(os.environ.get("AXE_CORE", ""), "axe.min.js")
pytestmark = pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core (npm) and AXE_CORE, its folder")


def findings(window: Window, view: str) -> list[str]:
    """What is serious or critical in the view that is shown."""
    window.page.evaluate(AXE.read_text())
    found = window.page.evaluate("axe.run(document, { resultTypes: ['violations'] }).then((r) => r.violations)")
    return [
        f"{view}: {one['id']} at {node['target']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def from_menu(window: Window, words: str) -> None:
    window.page.click("#menu-button")
    window.page.click(f".menu button:has-text('{words}')")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_every_view(chromium: Any, server: Running, theme: str) -> None:
    window = Window(chromium, server.url, color_scheme=theme, bypass_csp=True)
    page, found = window.page, []
    window.drag((20, 20), (60, 60))
    found += findings(window, "photo")
    page.mouse.move(*window.at(40, 40))
    for keys, view, shown in (
        ("g", "shape", "#shaping"),
        ("w", "seeing", "#seeing"),
        ("p", "polygon", "#polygon"),
        ("d", "comment", "#comment-text"),
        ("r", "grid", "#grid .cell"),
        ("?", "keys", "dialog[open]"),
    ):
        page.focus("#stage")
        page.keyboard.press(keys)
        page.locator(shown).first.wait_for()
        found += findings(window, view)
        page.keyboard.press("p" if keys == "p" else "Escape")
        page.locator(shown).first.wait_for(state="hidden")
    page.click("#filter-button")
    found += findings(window, "filters")
    page.click("#filter-button")
    page.click("#menu-button")
    found += findings(window, "menu")
    page.keyboard.press("Escape")
    for words in ("Attributes", "Statistics", "Export", "Import", "Adapt", "Find this"):
        from_menu(window, words)
        page.locator("dialog[open] .body > *").first.wait_for()
        found += findings(window, words)
        page.keyboard.press("Escape")
    page.focus("#stage")
    window.press("Enter")
    window.shown(2)
    page.keyboard.press("Shift+R")
    until(lambda: "Approve" in page.locator("#queue").inner_text())
    found += findings(window, "review")
    window.close()
    assert found == []
