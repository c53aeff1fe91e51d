"""Several processes that share the work of each step, through accelerate: started, added up, drawing their own
random streams."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, multiprocessing

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


APART = 1_000_003  # between the seeds of two streams


class RandomStreams:
    """The random state of each of a step's micro-batches: the task's generator and torch's own.

    Two processes with one micro-batch each draw what one process with two draws, so that the number of processes
    changes no result. The first stream goes on from where preparation left the generator.

    >>> streams = RandomStreams(torch.Generator().manual_seed(0), Processes(), 2, 0)
    >>> with streams.use(1):
    ...     first = torch.rand((), generator=streams.generator)
    >>> with streams.use(0):
    ...     other = torch.rand((), generator=streams.generator)
    >>> bool(first != other)
    True
    """

    def __init__(self, generator: torch.Generator, processes: Processes, accumulate: int, seed: int) -> None:
        self.generator, self.processes, self.first = generator, processes, processes.rank * accumulate
        self.count, self.own = processes.count * accumulate, accumulate
        others = [_fresh(seed + APART * i) for i in range(1, self.count)]
        self.states = [(generator.get_state(), torch.get_rng_state()), *others]

    @contextmanager
    def use(self, micro: int) -> Iterator[None]:
        """Draw from the stream of this process's ``micro``-th micro-batch for the length of a ``with``."""
        stream = self.first + micro
        self.generator.set_state(self.states[stream][0])
        torch.set_rng_state(self.states[stream][1])
        try:
            yield
        finally:
            self.states[stream] = (self.generator.get_state(), torch.get_rng_state())

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The states of all streams, those of other processes included."""
        if self.count == 1:
            self.states = [(self.generator.get_state(), torch.get_rng_state())]
        own = range(self.first, self.first + self.own)
        gathered = self.processes.gathered({i: self.states[i] for i in own})
        states = {i: pair for part in gathered for i, pair in part.items()}
        return {"task": [states[i][0] for i in range(self.count)], "torch": [states[i][1] for i in range(self.count)]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state_dict()`` of a run with as many micro-batches a step."""
        pairs = list(zip(state["task"], state["torch"], strict=True))
        if len(pairs) != self.count:
            raise ValueError(f"{len(pairs)} micro-batches a step, not {self.count}")
        self.states = [(one.cpu(), other.cpu()) for one, other in pairs]
        self.generator.set_state(self.states[self.first][0])
        torch.set_rng_state(self.states[self.first][1])


def _fresh(seed: int) -> tuple[Tensor, Tensor]:
    return torch.Generator().manual_seed(seed).get_state(), torch.Generator().manual_seed(seed + 1).get_state()


class Means:
    """Running means by name, over steps or, with ``over_targets``, over the targets in them.

    >>> means = Means()
    >>> means.add({"loss": 1.0}, 3)
    >>> means.add({"loss": 2.0, "iou1": 0.5}, 1)
    >>> means.taken(Processes()), bool(means)
    ({'loss': 1.5, 'iou1': 0.5}, False)
    """

    def __init__(self, over_targets: bool = False) -> None:
        self.over_targets = over_targets
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, values: Mapping[str, float], targets: int) -> None:
        """Count one step's ``values``."""
        weight = targets if self.over_targets else 1
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = (total + value * weight, count + weight)

    def taken(self, processes: Processes) -> dict[str, float]:
        """The means of all processes; counting begins anew."""
        parts, self._sums = processes.gathered(self._sums), {}
        sums: dict[str, tuple[float, float]] = {}
        for part in parts:
            for name, (total, count) in part.items():
                before = sums.get(name, (0.0, 0.0))
                sums[name] = (before[0] + total, before[1] + count)
        return {name: total / count for name, (total, count) in sums.items()}

    def __bool__(self) -> bool:
        return bool(self._sums)


R = TypeVar("R")


def launch(job: Callable[[], R], processes: int) -> R:
    """Run ``job``, which pickles, in so many ``processes``; what it returns in the main one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    results = multiprocessing.get_context("spawn").SimpleQueue()
    started: Any = multiprocessing.start_processes  # type: ignore[attr-defined]
    started(_work, (job, processes, port, results), processes, start_method="spawn")
    result: R = results.get()
    return result


def _work(rank: int, job: Callable[[], Any], processes: int, port: int, results: Any) -> None:
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(processes),
        LOCAL_WORLD_SIZE=str(processes),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    result = job()
    if rank == 0:
        results.put(result)
    if distributed.is_initialized():  # a process that ends with the group's threads still running may be aborted
        distributed.destroy_process_group()
