"""What may stand at a site of a model while an adapter is on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import nn

from segue.core.errors import InputError


class Link(nn.Module, ABC):
    """What stands at a site while an adapter is on: the ``base`` module of before, and the learned ``adapter``.

    Attributes that the link lacks are the base's, so that models may keep reading theirs.
    """

    base: nn.Module
    adapter: nn.Module

    def __init__(self, base: nn.Module, adapter: nn.Module) -> None:
        super().__init__()
        self.base, self.adapter = base, adapter

    @abstractmethod
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the site answers."""

    def stand_in(self) -> nn.Module:
        """The module whose attributes the link shows."""
        module: nn.Module = self._modules["base"]  # type: ignore[assignment]
        return module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if not self.__dict__.get("_modules") or name in ("base", "adapter"):
                raise
            return getattr(self.stand_in(), name)


class After(Link):
    """``adapter(base(x))``.

    >>> import torch
    >>> After(nn.Identity(), nn.Flatten())(torch.zeros(1, 2, 3)).shape
    torch.Size([1, 6])
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.adapter(self.base(*args, **kwargs))


class Beside(Link):
    """``base(x) + adapter(x)``.

    >>> import torch
    >>> Beside(nn.Identity(), nn.Identity())(torch.ones(2))
    tensor([2., 2.])
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base(*args, **kwargs) + self.adapter(*args, **kwargs)


class Around(Link):
    """``adapter(base(x), x)``: the adapter sees what went in and what came out."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.adapter(self.base(*args, **kwargs), *args, **kwargs)


class Instead(Link):
    """``adapter(x)``; the base waits beside it."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.adapter(*args, **kwargs)

    def stand_in(self) -> nn.Module:
        module: nn.Module = self._modules["adapter"]  # type: ignore[assignment]
        return module


def width_of(module: nn.Module) -> int:
    """How many channels a module gives out.

    >>> width_of(nn.Sequential(nn.Linear(3, 5), nn.ReLU()))
    5
    """
    for part in reversed(list(module.modules())):
        for name in ("out_features", "out_channels", "width"):
            if isinstance(getattr(part, name, None), int):
                return int(getattr(part, name))
    if isinstance(module, nn.LayerNorm):
        return int(module.normalized_shape[-1])
    raise InputError(f"a {type(module).__name__}, whose width cannot be told", "a layer with out_features or width")
