"""Attributes and tags in the page, keys beyond nine, classes from a file, and what others change."""

from __future__ import annotations

from typing import Any

from tests.annotator.running import Running
from tests.e2e.conftest import Window, until


def define(window: Window) -> None:
    page = window.page
    page.click("#menu-button")
    page.click(".menu button:has-text('Attributes and tags')")
    for name, kind, of in (("ripe", "flag", "object"), ("side", "choice", "object"), ("night", "flag", "image")):
        page.click("dialog button:has-text('Add')")
        row = page.locator("dialog .class-row").last
        row.locator("input").first.fill(name)
        row.locator("input").first.press("Tab")
        page.locator("dialog .class-row").last.locator("select").nth(1).select_option(kind)
        page.locator("dialog .class-row").last.locator("select").nth(0).select_option(of)
        if kind == "choice":
            page.locator("dialog .class-row").last.locator("input").nth(1).fill("left, right")
            page.locator("dialog .class-row").last.locator("input").nth(1).press("Tab")
    page.click("#save-attributes")
    until(lambda: len(window.state("project.attributes")) == 3)


def test_attributes_of_the_object_and_tags_of_the_image(window: Window) -> None:
    page = window.page
    define(window)
    until(lambda: page.locator("#attributes").inner_text().startswith("Tags of the image"))
    page.check("#attributes input")
    window.settled()
    assert window.state("image.tags") == {"night": True}
    window.drag((20, 20), (60, 60))
    until(lambda: page.locator("#attributes").inner_text().startswith("Attributes"))
    page.locator("#attributes select").select_option("right")
    window.settled()
    page.check("#attributes input")
    window.settled()
    assert window.objects()[0]["attributes"] == {"side": "right", "ripe": True}
    page.focus("#stage")
    window.press("Control+z")
    until(lambda: window.objects()[0]["attributes"] == {"side": "right"})
    until(lambda: not page.locator("#attributes input").is_checked())


def test_classes_from_a_file_and_keys_beyond_nine(window: Window, tmp_path: Any) -> None:
    page = window.page
    names = [f"class {number}" for number in range(2, 13)]
    (tmp_path / "classes.txt").write_text("\n".join([*names, "object", ""]))
    page.click("#edit-classes")
    page.set_input_files("dialog input[type=file]", tmp_path / "classes.txt")
    until(lambda: len(window.state("project.labels")) == 12)
    page.keyboard.press("Escape")
    page.focus("#stage")
    page.keyboard.press("Shift+Digit3")
    until(lambda: window.state("label") == window.state("project.labels")[11]["id"])
    colours = [label["colour"] for label in window.state("project.labels")]
    assert len(set(colours)) == 12


def test_what_others_define_appears(chromium: Any, window: Window, server: Running) -> None:
    other = Window(chromium, server.url, image=2)
    define(other)
    until(lambda: len(window.state("project.attributes")) == 3)
    other.close()
