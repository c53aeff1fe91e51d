"""docs/annotator.md names every address and every action of the interface."""

from __future__ import annotations

from pathlib import Path

import pytest

from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from tests.annotator.fake_model import ColourModel

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "annotator.md").read_text()

KINDS = (
    *("prompt", "stroke", "edit", "remove", "copy", "state", "undo", "redo", "decide", "adopt", "replaced"),
    *("shape", "reshape", "split", "combine", "relabel", "clear", "review", "comment", "describe"),
)


def test_every_address_is_documented(folder: Path) -> None:
    paths = build(AnnotateConfig(folder=folder), load=ColourModel).openapi()["paths"]
    missing = [
        f"{method.upper()} {path}"
        for path, ways in paths.items()
        for method in ways
        if f"`{method.upper()} {path}`" not in TEXT
    ]
    assert missing == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_action_is_documented(kind: str) -> None:
    line = next(line for line in TEXT.splitlines() if "one action:" in line)
    assert kind in line
