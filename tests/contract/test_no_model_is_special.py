"""What is special about a model is a method of it: outside ``segue.models`` no code asks which model it has."""

from __future__ import annotations

import ast
from pathlib import Path

import segue

ROOT = Path(segue.__file__).parent
BASES = {"Segmenter", "TorchSegmenter", "Wrapper"}


def model_classes() -> set[str]:
    """Names of every class in ``segue.models`` that is a Segmenter."""
    parents = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for path in (ROOT / "models").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    names: set[str] = set(BASES)
    while more := {name for name, bases in parents.items() if bases & names} - names:
        names |= more
    return names - BASES


def asked_for(path: Path) -> set[str]:
    """The names that ``isinstance``, ``issubclass`` and ``type(x) is`` of a module ask for."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("isinstance", "issubclass")
        ):
            names |= {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
        if isinstance(node, ast.Compare):
            names |= {part.id for part in node.comparators if isinstance(part, ast.Name)}
    return names


def test_the_models_are_found() -> None:
    assert {
        "Nano",
        "SimpleClick",
        "InterFormer",
        "Sam",
        "PerSam",
        "CLIPSeg",
        "SegFormerClick",
        "ZoomIn",
    } <= model_classes()


def test_nothing_outside_the_models_asks_which_model_it_has() -> None:
    models = model_classes()
    outside = [path for path in ROOT.rglob("*.py") if ROOT / "models" not in path.parents]
    special = {str(path.relative_to(ROOT)): names for path in outside if (names := asked_for(path) & models)}
    assert special == {}
