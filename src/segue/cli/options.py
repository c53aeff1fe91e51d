"""Command-line options from a configuration's fields: a field is an option, its description the help."""

from __future__ import annotations

import functools
import inspect
import operator
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
import yaml
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.core import TyperCommand

from segue.cli.show import show_result, write_json
from segue.session.config import CommandLine, JobConfig, JobResult, ModelChoice, read_fields

Convert = Callable[[Any], Any]
METAVARS = {2: "X,Y", 4: "X0,Y0,X1,Y1"}


@dataclass(frozen=True)
class JobCommand:
    """A command: the ``run`` of a configuration, whose fields are its options, and how its result is shown.

    ``fields`` are those that are options (all without it), ``file`` whether the first argument is a file with the
    configuration. A result that says ``failed`` ends with status 1.
    """

    config: type[JobConfig] | None
    run: Callable[[Any], Any]
    show: Callable[[Any], None] = show_result
    fields: Collection[str] | None = None
    file: bool = False

    def build(self, name: str, summary: str) -> TyperCommand:
        """The command as Typer runs it."""
        options = list(self._options())

        def call(context: typer.Context, **given: Any) -> None:
            named = {n: v for n, v in given.items() if _was_given(context, n)}
            self._call({option.field: option.convert for option in options}, named)

        parameters = [_parameter("context", typer.Context)]
        parameters += [option.parameter for option in options]
        parameters += _common(self.config is not None, self.file)
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in parameters}
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        settings = {"help_option_names": ["-h", "--help"]}
        kind = type("Command", (_Command,), {"repeatable": {n for o in options for n in o.repeatable}})
        app.command(name, help=summary, cls=kind, context_settings=settings)(call)
        command = typer.main.get_command(app)
        assert isinstance(command, TyperCommand)
        return command

    def _options(self) -> Iterator[_Option]:
        fields = self.config.model_fields if self.config is not None else {}
        made = [_option(n, f, self.file) for n, f in fields.items() if self.fields is None or n in self.fields]
        yield from sorted(filter(None, made), key=lambda o: (not o.positional, o.field in ModelChoice.model_fields))

    def _call(self, converters: Mapping[str, Convert], given: dict[str, Any]) -> None:
        json_to, file = given.pop("json", None), given.pop("config_file", None)
        given.pop("debug", None)
        values = read_fields(file) if file is not None else {}
        values |= {name: _converted(name, converters[name], value) for name, value in given.items()}
        result = self.run(self.config.from_fields(**values)) if self.config is not None else self.run(None)
        if result is None:
            return
        if json_to is not None:
            write_json(result.to_json() if isinstance(result, JobResult) else result, json_to)
        if str(json_to) != "-":
            self.show(result)
        if getattr(result, "failed", None):
            raise typer.Exit(1)


def _converted(name: str, convert: Convert, value: Any) -> Any:
    try:
        return convert(value)
    except typer.BadParameter as error:
        error.param_hint = f"--{name.replace('_', '-')}"
        raise


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@dataclass(frozen=True)
class _Option:
    field: str
    parameter: inspect.Parameter
    convert: Convert
    positional: bool
    repeatable: tuple[str, ...] = ()  # its names, if several numbers may follow one


def _common(with_file: bool, positional: bool) -> Iterator[inspect.Parameter]:
    """The options of every command."""
    if positional:
        file = typer.Argument(help="The configuration, in YAML.", metavar="CONFIG")
        yield _parameter("config_file", Path, file, inspect.Parameter.empty)
    elif with_file:
        yield _parameter("config_file", Path | None, typer.Option("--config", help="Read options from a YAML file."))
    yield _parameter("json", Path | None, typer.Option("--json", help="Write the result as JSON; '-' prints it."))
    yield _parameter("debug", bool, typer.Option("--debug", help="Show where an error comes from."), False)


def _parameter(name: str, kind: Any, info: Any = None, default: Any = None) -> inspect.Parameter:
    annotation = kind if info is None else Annotated[kind, info]
    if info is None:
        default = inspect.Parameter.empty
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option(name: str, field: FieldInfo, optional: bool) -> _Option | None:
    """The option of one field, ``optional`` where a file may hold it; None for a field that only files can hold."""
    style = next((m for m in field.metadata if isinstance(m, CommandLine)), CommandLine())
    own_parser = any(isinstance(m, BeforeValidator) for m in field.metadata)
    typed = (str, _same, None) if own_parser else _typed(field.annotation)
    if style.hidden or typed is None:
        return None
    kind, convert, metavar = typed
    about: dict[str, Any] = {"help": field.description, "metavar": style.metavar or metavar}
    default = _shown(field.get_default(call_default_factory=True), kind)
    if field.is_required():
        default = None if optional else inspect.Parameter.empty
    if default is None:
        kind = operator.or_(kind, None)
    if style.positional:
        about["metavar"] = style.metavar or name.upper()
        return _Option(name, _parameter(name, kind, typer.Argument(**about), default), convert, True)
    names = style.names or _names(name, kind == bool | None or default is True)
    repeatable = tuple(names) if kind in (list[int], list[float], list[int] | None, list[float] | None) else ()
    return _Option(name, _parameter(name, kind, typer.Option(*names, **about), default), convert, False, repeatable)


def _shown(default: Any, kind: Any) -> Any:
    """A field's default as Typer shows it; it is never passed on."""
    if default in (None, (), "", {}) or default is PydanticUndefined:
        return None
    if kind is str and isinstance(default, tuple):
        return ",".join(map(str, default))
    return list(default) if isinstance(default, tuple) else default


def _names(name: str, negatable: bool) -> tuple[str, ...]:
    dashed = f"--{name.replace('_', '-')}"
    if negatable:
        return (f"{dashed}/--no-{dashed[2:]}",)
    return ("-o", dashed) if name == "output" else (dashed,)


def _typed(annotation: Any) -> tuple[Any, Convert, str | None] | None:
    """(Typer's type, conversion to the field's, metavar) of a field's type; None for what no option can hold."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _typed(arguments[0])
    if origin in (Union, types.UnionType):
        kinds = [a for a in arguments if a is not type(None)]
        return _typed(kinds[0]) if len(kinds) == 1 else (str, _same, None)
    if origin is tuple and arguments[-1] is Ellipsis:
        inner = _typed(arguments[0])
        if inner is None:
            return None
        kind, convert, metavar = inner
        return types.GenericAlias(list, (kind,)), lambda values: tuple(map(convert, values)), metavar
    if origin is tuple:
        return str, functools.partial(numbers, count=len(arguments)), METAVARS.get(len(arguments))
    if origin is dict:
        return list[str], pairs, "KEY=VALUE"
    if origin is Literal:
        return str, functools.partial(choice, allowed=arguments), "|".join(arguments)
    if annotation in (bool, int, float, str, Path):
        return annotation, _same, None
    return None if isinstance(annotation, type) and issubclass(annotation, BaseModel) else (str, _same, None)


def _same(value: Any) -> Any:
    return value


def choice(text: str, allowed: Sequence[str]) -> str:
    """``text`` itself if it is one of ``allowed``; anything else is a usage error.

    >>> choice("onnx", ["onnx"])
    'onnx'
    """
    if text not in allowed:
        raise typer.BadParameter(f"'{text}' is not one of: {', '.join(allowed)}")
    return text


def numbers(text: str, count: int) -> tuple[float, ...]:
    """'X,Y' or 'X0,Y0,X1,Y1' as floats; anything else is a usage error.

    >>> numbers("3,4.5", 2)
    (3.0, 4.5)
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        example = ",".join(("120", "80", "300", "200")[:count])
        raise typer.BadParameter(f"'{text}' is not {count} numbers with commas between, such as {example}")
    return values


def pairs(texts: Sequence[str]) -> dict[str, Any]:
    """'KEY=VALUE' texts as a dictionary, values as YAML reads them; anything else is a usage error.

    >>> pairs(["width=32", "residual=true"])
    {'width': 32, 'residual': True}
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"'{text}' is not KEY=VALUE, such as width=32")
        values[key] = yaml.safe_load(value)
    return values


class _Command(TyperCommand):
    """A command whose ``repeatable`` options take several values after one name, and whose required options may stand
    in the ``--config`` file."""

    repeatable: Collection[str] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the command's name."""
        if any(word.partition("=")[0] == "--config" for word in args):
            for parameter in self.params:
                parameter.required = False
        return super().parse_args(ctx, spread(args, self.repeatable))


def spread(words: Sequence[str], repeatable: Collection[str]) -> list[str]:
    """Repeat the name of a ``repeatable`` option before each further number that follows it.

    >>> spread(["--target", "0.8", "0.9", "--limit", "3"], {"--target"})
    ['--target', '0.8', '--target', '0.9', '--limit', '3']
    """
    result: list[str] = []
    name, values = "", 0
    for word in words:
        if word.partition("=")[0] in repeatable:
            name, values = word.partition("=")[0], int("=" in word)
        elif name and _reads_as_number(word):
            result += [name] if values else []
            values += 1
        else:
            name = ""
        result.append(word)
    return result


def _reads_as_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
