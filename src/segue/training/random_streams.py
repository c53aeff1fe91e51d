"""Random streams: one for every micro-batch of a step, whichever process draws it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from segue.training.processes import Processes

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
