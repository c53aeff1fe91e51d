"""``segue encode --engine ray``: the same work as Ray tasks, with Ray's own scheduling and retries."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from segue.core.errors import MissingExtra, SegueError
from segue.core.segmenter import Segmenter
from segue.session.cache import FeatureCache

if TYPE_CHECKING:
    from segue.jobs.batch import Done, EncodeConfig

RETRIES = 5  # of one chunk whose worker died; images it had finished are found in the cache, not done again
AHEAD = 2  # chunks in flight per worker


def encode_over_ray(model: Segmenter, cache: FeatureCache, paths: list[str], config: EncodeConfig) -> Iterator[Done]:
    """``encode_paths`` over a Ray cluster: paths and cache must be reachable from every node.

    The model travels once to each node's object store and is unpacked once per worker process. Raises
    ``MissingExtra`` without Ray, ``SegueError`` when the cluster cannot be reached or dies as a whole.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtra.of("ray", "ray") from error
    mine = not ray.is_initialized()
    try:
        if mine:
            local = {} if config.address else {"num_cpus": config.workers, "include_dashboard": False}
            ray.init(address=config.address, log_to_driver=False, **local)
        yield from _run(ray, model, cache, paths, config)
    except (ray.exceptions.RayError, ConnectionError) as error:
        if isinstance(error, SegueError):
            raise  # a task's own error
        raise SegueError(
            f"Ray's {type(error).__name__} ({str(error).strip().splitlines()[0]})",
            "a cluster that answers until the last image",
            "repeat the command once it runs: what is in the cache is not done again",
        ) from error
    finally:
        if mine:
            ray.shutdown()


def _run(ray: Any, model: Segmenter, cache: FeatureCache, paths: list[str], config: EncodeConfig) -> Iterator[Done]:
    gpus = {"num_gpus": 1} if model.device.type == "cuda" else {}
    task = ray.remote(max_retries=RETRIES, num_cpus=1, **gpus)(encode_chunk)
    shared = ray.put(model.cpu())
    settings = (cache.url, cache.half, cache.limit)
    chunks = [paths[i : i + config.chunk] for i in range(0, len(paths), config.chunk)]
    workers = max(1, int(ray.cluster_resources().get("CPU", 1)))
    running: list[Any] = []
    while chunks or running:
        while chunks and len(running) < AHEAD * workers:
            # in a list the reference stays a reference, and the worker decides when to unpack it
            running.append(task.remote([shared], settings, chunks.pop(0), config.batch, config.readers))
        (ready,), running = ray.wait(running, num_returns=1)
        yield from ray.get(ready)


def encode_chunk(
    shared: list[Any], settings: tuple[str, bool, int | None], paths: list[str], batch: int, readers: int
) -> list[Done]:
    """One task: the images of ``paths`` that the cache does not hold."""
    from segue.jobs.batch import encode_paths

    model, cache = _workplace(shared[0], settings)
    return list(encode_paths(model, cache, paths, batch, readers))


@functools.lru_cache(maxsize=1)
def _workplace(reference: Any, settings: tuple[str, bool, int | None]) -> tuple[Segmenter, FeatureCache]:
    """The model on this worker's device and the open cache, once per process."""
    import ray

    torch.set_num_threads(1)
    model: Segmenter = ray.get(reference)
    url, half, limit = settings
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().to(device), FeatureCache(url, half=half, limit=limit)
