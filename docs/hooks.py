"""What the site has beside its pages: references made from the code, and links to files outside ``docs/``."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

import segue
from segue.cli import COMMANDS, command
from segue.jobs.doctor import list_models
from segue.training.config import TrainConfig

HEAD = "| key | type | default | meaning |\n|---|---|---|---|"


def options_page() -> str:
    """Every command's options; an option's YAML key is its name with ``_`` for ``-``."""
    lines = [
        "# Options and YAML keys",
        "",
        "Made from the configurations. `--some-option` of a command is `some_option:` in its `--config` file and "
        "`some_option=` in Python.",
    ]
    for name, summary in COMMANDS.items():
        lines += [
            "",
            f"## segue {name}",
            "",
            summary,
            "",
            "| option | YAML key | default | meaning |",
            "|---|---|---|---|",
        ]
        for parameter in command(name).params:
            if parameter.name not in ("help", "debug", "json"):
                names = ", ".join(f"`{o}`" for o in (*parameter.opts, *parameter.secondary_opts))
                default = parameter.default
                shown = "required" if parameter.required else "" if default in (None, False, ()) else f"`{default}`"
                meaning = _cell(getattr(parameter, "help", None) or "")
                key = "" if parameter.name == "config_file" else f"`{parameter.name}`"
                lines.append(f"| {names} | {key} | {_cell(shown)} | {meaning} |")
    return "\n".join(lines) + "\n"


def training_page() -> str:
    """The keys of ``segue train``'s file, nested as they are there."""
    lines = [
        "# Training keys",
        "",
        "What `segue train FILE.yaml` reads: `segue.training.config.TrainConfig`.",
    ]
    for path, model in _models(TrainConfig, ""):
        said = (model.__doc__ or "").strip().splitlines()[0].replace("``", "`")
        lines += ["", f"## {path or 'The file'}", "", said, "", HEAD]
        for key, field in model.model_fields.items():
            lines.append(
                f"| `{key}` | {_cell(_kind(field))} | {_cell(_default(field))} | {_cell(field.description or '')} |"
            )
    return "\n".join(lines) + "\n"


def python_page() -> str:
    """Every public name, as its docstring describes it."""
    lines = ["# Python", "", "The names that `import segue` gives.", ""]
    lines += [f"::: segue.{segue._MODULES[name]}.{name}\n" for name in segue.__all__]
    return "\n".join(lines)


def models_table() -> str:
    """The registry as a table: name, what it is with its size, licence of the published weights."""
    rows = [f"| `{row.name}` | {_cell(row.summary)} | {_cell(row.licence)} |" for row in list_models().models]
    return "\n".join(["| name | what | licence |", "|---|---|---|", *rows])


PAGES = {
    "reference/options.md": options_page,
    "reference/training.md": training_page,
    "reference/python.md": python_page,
}


def _models(model: type[BaseModel], path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for key, field in model.model_fields.items():
        for inner in _inner(field.annotation):
            yield from _models(inner, f"{path}.{key}".strip("."))


def _inner(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _inner(part)]


def _kind(field: FieldInfo) -> str:
    return _named(field.annotation)


def _named(kind: Any) -> str:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _named(parts[0])
    if origin is typing.Literal:
        return ", ".join(f"`{p}`" for p in parts)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_named(p) for p in parts if p is not type(None))
    if origin is tuple and parts[-1] is Ellipsis:
        return f"list of {_named(parts[0])}"
    if origin is tuple:
        return f"{len(parts)} x {_named(parts[0])}"
    if origin is dict:
        return "mapping"
    return getattr(kind, "__name__", str(kind))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default()
    if field.default_factory is not None or value is None or isinstance(value, BaseModel):
        return ""
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def _cell(text: str) -> str:
    return re.sub(r"(?<!\\)\|", r"\|", " ".join(text.split()))


def on_files(files: Any, config: Any) -> Any:
    """Add the made pages."""
    from mkdocs.structure.files import File

    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to files of the repository outside ``docs/`` lead to the repository."""
    markdown = markdown.replace("<!-- made: models -->", models_table())
    up = "../" * (page.file.src_uri.count("/") + 1)
    return markdown.replace(f"]({up}", f"]({config.repo_url}/blob/main/")
