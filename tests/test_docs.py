"""Documentation that a reader can rely on: every command, option, model, adapter and metric is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import segue
from segue.cli import COMMANDS, command
from segue.models.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_documented(name: str) -> None:
    text = (DOCS / "commands.md").read_text()
    section = re.search(rf"^## segue {name}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section, f"docs/commands.md has no heading '## segue {name}'"
    for parameter in command(name).params:
        longest = max(parameter.opts, key=len)
        where = text.partition("\n## ")[0] if longest in ("--json", "--debug", "--config") else section[1]
        if longest.startswith("--") and longest != "--help":
            assert f"`{longest}" in where, f"docs/commands.md, segue {name}: {longest} is not documented"


@pytest.mark.parametrize("name", segue.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert f"`segue.{name}`" in (DOCS / "commands.md").read_text()


@pytest.mark.parametrize("name", list(MODELS))
def test_every_model_is_documented(name: str) -> None:
    assert f"`{name}`" in (DOCS / "models.md").read_text(), f"docs/models.md does not mention `{name}`"


@pytest.mark.parametrize("page", [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))], ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text()):
        made = re.search(r"reference/\w+\.md$", target)  # by the site's hooks
        there = f'"{made[0]}":' in (DOCS / "hooks.py").read_text() if made else (page.parent / target).exists()
        assert there, f"{page.name} links to {target}"
