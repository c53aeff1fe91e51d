"""Several processes of this machine for one job; they find each other through accelerate."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from torch import multiprocessing

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
