"""Several processes that share the work of each step, through accelerate."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Processes:
    """The processes of a run: one, unless a launcher (``segue train --processes``, ``accelerate launch``, ``torchrun``)
    started more.

    >>> Processes().count, Processes().is_main
    (1, True)
    """

    def __init__(self, device: torch.device | None = None) -> None:
        self.count, self.rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        self.device = device or torch.device("cpu")
        if self.count > 1:
            from accelerate import Accelerator  # one process does without it

            self.accelerator = Accelerator(cpu=self.device.type == "cpu")
            self.device = self.accelerator.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes, shows and validates."""
        return self.rank == 0

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through the ``with`` alone, the others after it."""
        if self.count == 1:
            yield
            return
        with self.accelerator.main_process_first():
            yield

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Add up ``tensors`` over all processes, in place."""
        if self.count > 1 and tensors:
            flat = torch.cat([t.flatten() for t in tensors])
            total = self.accelerator.reduce(flat, "sum")
            for tensor, part in zip(tensors, total.split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    def from_main(self, value: float) -> float:
        """The main process's ``value``, in all of them."""
        if self.count == 1:
            return value
        held = torch.tensor(value if self.is_main else 0.0, dtype=torch.float64, device=self.device)
        return float(self.accelerator.reduce(held, "sum"))

    def agree(self, minutes: float, asked: bool) -> tuple[float, bool]:
        """The main process's ``minutes``, and whether any process was asked to end."""
        if self.count == 1:
            return minutes, asked
        values = [minutes if self.is_main else 0.0, float(asked)]
        held = torch.tensor(values, dtype=torch.float64, device=self.device)
        main_minutes, any_asked = self.accelerator.reduce(held, "sum").tolist()
        return main_minutes, any_asked > 0

    def gathered(self, value: T) -> list[T]:
        """Every process's ``value``, in order."""
        if self.count == 1:
            return [value]
        from accelerate.utils import gather_object

        values: list[Any] = gather_object([value])
        return values
