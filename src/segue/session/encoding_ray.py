"""``segue encode --engine ray``: the same work as Ray tasks, with Ray's own scheduling and retries."""

from __future__ import annotations

import functools
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from segue.core.errors import SegueError, naming_extras
from segue.core.segmenter import Segmenter
from segue.nn.device import choose_device
from segue.session.cache import FeatureCache
from segue.session.encoding import EncodedFile, encode_paths

RETRIES = 5  # of one chunk whose worker died; images it had finished are found in the cache, not done again
AHEAD = 2  # chunks in flight per worker


@dataclass(frozen=True)
class RayWork:
    """What is encoded, and over how many: ``paths`` in chunks of ``chunk`` images, on the cluster at ``address`` or
    on a local one of ``workers``; the cache by its address, precision and most bytes."""

    paths: tuple[str, ...]
    cache: tuple[str, bool, int | None]
    batch: int = 1
    readers: int = 2
    chunk: int = 16
    workers: int = 2
    address: str | None = None


def encode_over_ray(model: Segmenter, work: RayWork) -> Iterator[EncodedFile]:
    """``encode_paths`` over a Ray cluster: paths and cache must be reachable from every node.

    The model travels once to each node's object store and is unpacked once per worker process. Unless Ray runs in
    this process already, it does so in one of its own: it may end its process without a word when the cluster dies.
    Raises ``MissingExtra`` without Ray, ``SegueError`` when the cluster cannot be reached or dies as a whole.
    """
    with naming_extras():
        import ray
        from ray import cloudpickle
    if ray.is_initialized():
        yield from _run(model, work)
        return
    command = [sys.executable, "-c", "from segue.session.encoding_ray import drive; drive()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        try:
            driver.stdin.write(cloudpickle.dumps((model, work)))
            driver.stdin.close()
            yield from _rows(driver.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise _died(f"Ray's process, which ended with status {driver.wait()}") from error
        finally:
            driver.terminate()


def drive() -> None:
    """The process that ``encode_over_ray`` starts: work comes on standard input, rows leave on standard output."""
    import ray

    rows = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever Ray prints goes to standard error
    model, work = pickle.load(sys.stdin.buffer)
    last: SegueError | None = None
    try:
        local = {} if work.address else {"num_cpus": work.workers, "include_dashboard": False}
        ray.init(address=work.address, log_to_driver=False, **local)
        for done in _run(model, work):
            _send(rows, done)
    except SegueError as error:
        last = error
    except ConnectionError as error:
        last = _died(f"Ray's {_message(error)}")
    finally:
        ray.shutdown()
    _send(rows, last)  # only now: whoever reads it ends this process


def _send(rows: IO[bytes], row: EncodedFile | SegueError | None) -> None:
    pickle.dump(row, rows)
    rows.flush()


def _rows(stream: IO[bytes]) -> Iterator[EncodedFile]:
    """Up to the closing None; an error is raised."""
    while (row := pickle.load(stream)) is not None:
        if isinstance(row, SegueError):
            raise row
        yield row


def _run(model: Segmenter, work: RayWork) -> Iterator[EncodedFile]:
    import ray

    gpus = {"num_gpus": 1} if str(model.device).startswith("cuda") else {}
    task = ray.remote(max_retries=RETRIES, num_cpus=1, **gpus)(encode_chunk)
    chunks = [work.paths[i : i + work.chunk] for i in range(0, len(work.paths), work.chunk)]
    running: list[Any] = []
    try:
        shared = ray.put(model.to("cpu"))
        workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
        while chunks or running:
            while chunks and len(running) < AHEAD * workers:
                # in a list the reference stays a reference, and the worker decides when to unpack it
                running.append(task.remote([shared], work.cache, chunks.pop(0), work.batch, work.readers))
            (ready,), running = ray.wait(running, num_returns=1)
            yield from ray.get(ready)
    except ray.exceptions.RayError as error:
        if isinstance(error, SegueError):
            raise  # a task's own error
        raise _died(f"Ray's {_message(error)}") from error


def _message(error: Exception) -> str:
    return f"{type(error).__name__} ({str(error).strip().splitlines()[0]})"


def _died(what: str) -> SegueError:
    return SegueError(
        what,
        "a cluster that answers until the last image",
        "repeat the command once it runs: what is in the cache is not done again",
    )


def encode_chunk(
    shared: list[Any], cache: tuple[str, bool, int | None], paths: Sequence[str], batch: int, readers: int
) -> list[EncodedFile]:
    """One task: the images of ``paths`` that the cache does not hold."""
    model, opened = _workplace(shared[0], cache)
    return list(encode_paths(model, opened, paths, batch, readers))


@functools.lru_cache(maxsize=1)
def _workplace(reference: Any, cache: tuple[str, bool, int | None]) -> tuple[Segmenter, FeatureCache]:
    """The model on this worker's device and the open cache, once per process."""
    import ray
    import torch  # of the models that need it, and slow to import

    torch.set_num_threads(1)
    model: Segmenter = ray.get(reference)
    url, half, limit = cache
    return model.eval().to(choose_device()), FeatureCache(url, half=half, limit=limit)
