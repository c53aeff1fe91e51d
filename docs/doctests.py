"""Docstrings as the site shows them: the examples in them are code."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*?(?=^\s*$|\Z)", re.M | re.S)


class Doctests(griffe.Extension):
    """Puts every doctest in a fence, so that it is not read as Markdown."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called for every object that griffe finds."""
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(
                lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", obj.docstring.value
            )
