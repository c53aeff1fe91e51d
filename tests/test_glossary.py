"""One vocabulary: no public name and no file name uses a word that the glossary gives another word for."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "segue"
ROW = re.compile(r"^\| *(?P<term>[^|]+?) *\|(?P<meaning>[^|]*)\|(?P<other>[^|]*)\|$")


def forbidden() -> dict[str, str]:
    """The words of the "not" column, each with the term to say instead."""
    rows = [ROW.match(line) for line in (ROOT / "docs" / "glossary.md").read_text().splitlines()]
    pairs = [(row["other"], row["term"]) for row in rows if row and row["term"] not in ("term", "---")]
    return {word.strip(): term for words, term in pairs for word in words.split(",") if word.strip()}


def public_names(module: Path) -> Iterator[tuple[str, int]]:
    """Classes, functions, methods, fields, constants and parameters that a caller sees, with their lines."""
    for node in _public(ast.parse(module.read_text()).body):
        if isinstance(node, ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.lineno
            arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            yield from ((a.arg, a.lineno) for a in arguments if not a.arg.startswith("_"))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.lineno
        elif isinstance(node, ast.Assign):
            yield from ((t.id, t.lineno) for t in node.targets if isinstance(t, ast.Name))


def _public(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        name = getattr(node, "name", "")
        if name.startswith("_") and name != "__init__":
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body)


def test_the_glossary_gives_other_words() -> None:
    assert {"truth", "void", "remember", "glance"} <= set(forbidden())


def test_no_public_name_uses_another_word() -> None:
    words = forbidden()
    wrong = [
        f"{module.relative_to(ROOT)}:{line} {name} (say: {words[name.lower().strip('_')]})"
        for module in sorted(SOURCE.rglob("*.py"))
        for name, line in public_names(module)
        if name.lower().strip("_") in words
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_name_uses_another_word() -> None:
    words = forbidden()
    modules = [m for m in SOURCE.rglob("*") if m.suffix in (".py", ".js") and m.stem in words]
    assert not modules, [f"{m.relative_to(ROOT)} (say: {words[m.stem]})" for m in modules]


def test_no_class_name_stands_twice() -> None:
    names = Counter(
        node.name
        for module in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in names.items() if count > 1]
