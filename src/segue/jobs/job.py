"""A job from Python: a function of its configuration, or of the configuration's fields as keywords."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from segue.core.errors import naming_extras
from segue.session.config import JobConfig

Fields = ParamSpec("Fields")
Extra = ParamSpec("Extra")
C = TypeVar("C", bound=JobConfig)
C_contra = TypeVar("C_contra", bound=JobConfig, contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Job(Protocol[C_contra, Fields, Extra, R_co]):
    """What ``job`` makes of a function: type checkers see the configuration's fields as its keywords."""

    __name__: str

    @overload
    def __call__(self, config: C_contra, /, *args: Extra.args, **kwargs: Extra.kwargs) -> R_co: ...
    @overload
    def __call__(self, *args: Fields.args, **kwargs: Fields.kwargs) -> R_co: ...


def job(
    config_type: Callable[Fields, C],
) -> Callable[[Callable[Concatenate[C, Extra], R]], Job[C, Fields, Extra, R]]:
    """Let a function of a configuration take the fields of ``config_type`` as keywords instead.

    Mistakes in the keywords raise ``ConfigError``, and a library that is not installed ``MissingExtra``.

    >>> from segue.session.config import ModelChoice
    >>> @job(ModelChoice)
    ... def name(config: ModelChoice) -> str:
    ...     return config.model
    >>> name(ModelChoice(model="nano")), name(model="sam-vit-base")
    ('nano', 'sam-vit-base')
    """
    kind = cast(type[C], config_type)

    def decorate(run: Callable[Concatenate[C, Extra], R]) -> Job[C, Fields, Extra, R]:
        @functools.wraps(run)
        def call(*given: Any, **values: Any) -> R:
            with naming_extras():
                if given:
                    return run(*given, **values)
                return run(kind.from_fields(**values))  # type: ignore[call-arg]  # what is extra has a default

        call.__signature__ = inspect.signature(kind)  # type: ignore[attr-defined]
        return cast("Job[C, Fields, Extra, R]", call)

    return decorate
