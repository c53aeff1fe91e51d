"""Encoding in the background: one thread, the open image first, progress and cancelling inside the model."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

from segue.annotator.budget import MemoryBudget
from segue.core.errors import SegueError
from segue.core.segmenter import Segmenter
from segue.core.types import Features, Image

Stage = Literal["idle", "queued", "encoding", "ready", "failed"]
WAITED, OPEN, PREFETCH = 0, 1, 2  # how much an encode matters: a click waits for it, a person sees it, a guess


class Cancelled(Exception):
    """The person moved on; nobody waits for this encode."""


@dataclass(frozen=True)
class EncodedImage:
    """An image in memory, (H, W, 3), with its features, the model they belong to, how long they took, and the stamp of
    the file that it was read from."""

    image_id: int
    model: Segmenter
    image: Image
    features: Features
    milliseconds: float
    stamp: str = ""

    @property
    def bytes(self) -> int:
        """Memory held."""
        return self.image.nbytes + sum(int(array.nbytes) for array in self.features.maps.values())


@dataclass
class _Job:
    image_id: int
    path: str
    urgency: int
    order: int
    future: Future[EncodedImage] = field(default_factory=Future)
    started: float = 0.0
    steps: int = 0
    cancelled: bool = False


class Encoder:
    """Features of images by id in ``ready``, encoded once, kept as far as the ``budget`` goes (the newest always).

    ``model`` returns the model, loading it if need be; ``read`` the pixels of a path. Prefetching steps aside
    inside the model while ``busy`` is set, and an encode nobody waits for any more stops at its next module.
    """

    def __init__(
        self,
        model: Callable[[], Segmenter],
        read: Callable[[str], Image],
        budget: MemoryBudget,
        stamp: Callable[[str], str] = lambda path: "",
    ) -> None:
        self._model, self._read, self._budget, self._stamp = model, read, budget, stamp
        budget.shrink = self.make_room
        self._open: set[int] = set()
        self._newest: int | None = None
        self.ready: OrderedDict[int, EncodedImage] = OrderedDict()
        self._failed: dict[int, str] = {}
        self._jobs: dict[int, _Job] = {}
        self._now: _Job | None = None
        self._orders = itertools.count()
        self._changed = threading.Condition()
        self._generation = 0
        self._steps = 0  # modules that the last whole encode passed
        self._seconds = 0.0
        self._stopping = False
        self.no_click_pending = threading.Event()  # cleared while a click is being answered
        self.no_click_pending.set()
        self._thread = threading.Thread(target=self._run, name="segue-encoder", daemon=True)
        self._thread.start()

    def want(self, image_id: int, path: str, urgency: int) -> Future[EncodedImage]:
        """Ask for an image's features; a more urgent request overtakes."""
        with self._changed:
            if image_id in self.ready:
                self.ready.move_to_end(image_id)
                done: Future[EncodedImage] = Future()
                done.set_result(self.ready[image_id])
                return done
            job = self._jobs.get(image_id)
            if job is None or job.cancelled:
                job = _Job(image_id, path, urgency, next(self._orders))
                self._jobs[image_id] = job
                self._failed.pop(image_id, None)
            job.urgency = min(job.urgency, urgency)
            self._give_way()
            self._changed.notify_all()
            return job.future

    def keep_open(self, opened: set[int], wanted: set[int]) -> None:
        """Which images are open somewhere, and which are ``wanted`` at all: encodes of others that no click waits for
        are given up, and features of open images are the last to go."""
        with self._changed:
            self._open = opened
            for job in list(self._jobs.values()):
                if job.image_id in wanted:
                    continue
                if job.urgency == OPEN:
                    job.urgency = PREFETCH
                if job.urgency == PREFETCH:
                    self._cancel(job)

    def forget(self, image_id: int | None = None) -> None:
        """Free an image's features as its file changed, or every feature: the model changed or was switched off."""
        with self._changed:
            if image_id is not None:
                self.ready.pop(image_id, None)
                return
            for job in list(self._jobs.values()):
                if job.urgency != WAITED:
                    self._cancel(job)
            self._generation += 1
            self.ready.clear()
            self._failed.clear()

    def progress(self, image_id: int) -> tuple[Stage, float, str, float | None]:
        """(state, 0 to 1, message, milliseconds) for the status line."""
        with self._changed:
            if image_id in self.ready:
                return "ready", 1.0, "", self.ready[image_id].milliseconds
            if image_id in self._failed:
                return "failed", 0.0, self._failed[image_id], None
            job = self._jobs.get(image_id)
            if job is None:
                return "idle", 0.0, "", None
            if job is not self._now:
                return "queued", 0.0, "", None
            passed = (time.perf_counter() - job.started) / self._seconds if self._seconds else 0.0
            done = job.steps / self._steps if self._steps and job.steps else passed
            return "encoding", min(done, 0.99), "", None

    def stop(self) -> None:
        """End the thread; encodes under way are abandoned."""
        with self._changed:
            self._stopping = True
            for job in list(self._jobs.values()):
                self._cancel(job)
            self._changed.notify_all()
        self._thread.join(timeout=5)

    def _give_way(self) -> None:
        """A guess in progress makes room for something a person waits for; it is asked for again later."""
        waiting = min((j.urgency for j in self._jobs.values() if j is not self._now), default=PREFETCH)
        if self._now is not None and self._now.urgency == PREFETCH and waiting < PREFETCH:
            self._cancel(self._now)

    def _cancel(self, job: _Job) -> None:
        job.cancelled = True
        if self._jobs.get(job.image_id) is job:
            del self._jobs[job.image_id]
        job.future.cancel()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._now = None
                while not self._jobs and not self._stopping:
                    self._changed.wait()
                if self._stopping:
                    return
                job = self._now = min(self._jobs.values(), key=lambda j: (j.urgency, j.order))
            self._encode(job)

    def _encode(self, job: _Job) -> None:
        generation = self._generation
        try:
            model, stamp = self._model(), self._stamp(job.path)
            self._newest = job.image_id  # from here on the one before may give way
            image = self._read(job.path)
            job.started = time.perf_counter()
            with self._budget.decoding(image.shape[0] * image.shape[1]), _Watch(model, lambda: self._step(job)):
                features = model.encode([image])
            seconds = time.perf_counter() - job.started
        except Cancelled:
            return
        except Exception as error:
            self._fail(job, error)
            return
        with self._changed:
            if job.cancelled:
                return
            self._steps, self._seconds = job.steps, seconds
            encoded = EncodedImage(job.image_id, model, image, features, 1000 * seconds, stamp)
            if generation == self._generation:
                self.ready[job.image_id] = encoded
            del self._jobs[job.image_id]
        self.make_room(self._budget.left)
        job.future.set_result(encoded)

    def make_room(self, limit: int) -> None:
        """Keep at most ``limit`` bytes: old features go first, those of open images last, the newest never."""
        with self._changed:
            order = [*(k for k in self.ready if k not in self._open), *(k for k in self.ready if k in self._open)]
            size = sum(encoded.bytes for encoded in self.ready.values())
            for image_id in order:
                if size <= limit:
                    return
                if image_id != self._newest:
                    size -= self.ready.pop(image_id).bytes

    def _fail(self, job: _Job, error: Exception) -> None:
        with self._changed:
            if job.cancelled:
                return
            self._failed[job.image_id] = str(error) if isinstance(error, SegueError) else f"encoding failed: {error}"
            self._jobs.pop(job.image_id, None)
        job.future.set_exception(error)

    def _step(self, job: _Job) -> None:
        job.steps += 1
        if job.urgency == PREFETCH:
            while not job.cancelled and not self.no_click_pending.wait(0.5):
                pass
        if job.cancelled:
            raise Cancelled


class _Watch:
    """Calls ``step`` before every module that runs in this thread."""

    def __init__(self, model: Segmenter, step: Callable[[], None]) -> None:
        self._thread, self._step = threading.get_ident(), step
        self._hooks = [module.register_forward_pre_hook(self._before) for module in model.running_modules()]

    def _before(self, _module: Any, _inputs: Any) -> None:
        if threading.get_ident() == self._thread:
            self._step()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
