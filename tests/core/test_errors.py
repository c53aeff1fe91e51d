"""A library that is not installed is one line that says how to get it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from segue.core.errors import EXTRAS, MissingExtra, naming_extras
from segue.core.failures import explained

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]


def _names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0].replace("-", "_") for line in requirements}


@pytest.mark.parametrize("library", EXTRAS)
def test_every_extra_brings_the_library_and_the_plain_install_does_not(library: str) -> None:
    assert library in _names(PROJECT["optional-dependencies"][EXTRAS[library]])
    assert library not in _names(PROJECT["dependencies"])


def test_an_import_that_lacks_an_extra_says_which() -> None:
    with pytest.raises(MissingExtra, match=re.escape("pip install 'segue[torch]'")), naming_extras():
        raise ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn")
    assert "pip install 'segue[plots]'" in explained(ModuleNotFoundError("No module named 'x'", name="matplotlib"))


def test_another_missing_module_stays_what_it_is() -> None:
    with pytest.raises(ModuleNotFoundError), naming_extras():
        raise ModuleNotFoundError("No module named 'segue.nothing'", name="segue.nothing")
