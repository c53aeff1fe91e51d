"""The lab stays readable: its scripts parse, and no page or package of the product leans on it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("script", sorted((ROOT / "lab").rglob("*.py")), ids=lambda p: p.name)
def test_a_script_says_what_it_is_for(script: Path) -> None:
    assert ast.get_docstring(ast.parse(script.read_text()))


def test_the_product_does_not_lean_on_the_lab() -> None:
    readers = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md")]
    assert not [path.name for path in readers if "lab/" in path.read_text()]
