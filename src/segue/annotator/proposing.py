"""Proposals for an open image: every object that the model can tell, looked for while nobody waits for an answer."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from segue.annotator.actions import encode_id, frame_of
from segue.annotator.codec import pack
from segue.annotator.encoder import WAITED, Cancelled, EncodedImage
from segue.annotator.library import shot
from segue.annotator.project import Project
from segue.annotator.schemas_jobs import ProposalOut, ProposalsOut
from segue.annotator.store import image_row
from segue.core.errors import SegueError
from segue.core.frame import Frame
from segue.core.types import Features, Image, Prediction, Prompt
from segue.session.proposals import Proposal, propose

KEPT = 16  # images whose proposals are remembered
T = TypeVar("T")


@dataclass
class _Search:
    """The proposals of one image, or of a frame of a clip."""

    state: Literal["running", "done", "failed"] = "running"
    progress: float = 0.0
    message: str = "Waiting for the image"
    found: list[ProposalOut] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


class ProposeService:
    """Searches for one project, one at a time, each image's newest result kept until it is put away."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._searches: OrderedDict[int, _Search] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="segue-proposals")

    def close(self) -> None:
        """End what is under way."""
        with self._lock:
            for search in self._searches.values():
                search.stopped.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def start(self, image_id: int, frame: int | None) -> ProposalsOut:
        """Begin to look; one that runs for this image already goes on."""
        with self.project.store.read() as db:
            row = self.project.actions.measured(db, image_id)
            number = frame_of(row, frame)
            key, path = encode_id(image_id, number), shot(row.path, row.axis, number)
        with self._lock:
            search = self._searches.get(key)
            if search is None or search.state != "running":
                search = self._searches[key] = _Search()
                self._thread.submit(self._run, search, key, path)
            self._searches.move_to_end(key)
            while len(self._searches) > KEPT:
                self._searches.popitem(last=False)[1].stopped.set()
        return _out(search)

    def stop(self, image_id: int, frame: int | None) -> None:
        """Put the image's proposals away; one that runs ends."""
        key = self._key(image_id, frame)
        with self._lock:
            search = self._searches.pop(key, None)
        if search is not None:
            search.stopped.set()

    def state(self, image_id: int, frame: int | None) -> ProposalsOut:
        """How far the image's search is, and once it is done what it found."""
        return _out(self._searches.get(self._key(image_id, frame)))

    def _key(self, image_id: int, frame: int | None) -> int:
        with self.project.store.read() as db:
            return encode_id(image_id, frame_of(image_row(db, image_id), frame))

    def _run(self, search: _Search, key: int, path: str) -> None:
        def watch(done: int, total: int) -> None:
            search.progress, search.message = done / total, f"{done} of {total} clicks"

        try:
            if search.stopped.is_set():
                return
            encoded = self.project.worker.encoder.want(key, path, WAITED).result()
            model: Any = _GivesWay(encoded, lambda task: self._spare(search, task))
            search.found = [_sent(proposal) for proposal in propose(model, encoded.image, on_batch=watch)]
            search.progress, search.message, search.state = 1.0, f"{len(search.found)} proposals", "done"
        except (Cancelled, CancelledError):
            search.message, search.state = "stopped", "failed"
        except SegueError as error:
            search.message, search.state = str(error), "failed"
        except Exception as error:  # as for an encode that fails: the page says why
            search.message, search.state = f"proposing failed: {error}", "failed"

    def _spare(self, search: _Search, task: Callable[[], T]) -> T:
        """Run ``task`` where answers are computed, when no click waits for one."""
        calm = self.project.worker.encoder.no_click_pending
        while not search.stopped.is_set() and not calm.wait(0.5):
            pass
        if search.stopped.is_set():
            raise Cancelled
        return self.project.worker.spare(task)


class _GivesWay:
    """A model whose answers are computed a batch at a time by ``spare``, so that a click waits for one batch at most;
    the whole image's features are those that its clicks have."""

    def __init__(self, encoded: EncodedImage, spare: Callable[[Callable[[], Any]], Any]) -> None:
        self._encoded, self._spare = encoded, spare

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoded.model, name)

    def encode(self, images: Sequence[Image], frames: Sequence[Frame] | None = None) -> Features:
        if frames is None and len(images) == 1 and images[0] is self._encoded.image:
            return self._encoded.features
        return self._encoded.model.encode(images, frames)

    def decode(self, features: Features, prompts: Sequence[Prompt]) -> Prediction:
        answer: Prediction = self._spare(lambda: self._encoded.model.decode(features, prompts))
        return answer

    def decode_each(self, features: Features, prompts: Sequence[Prompt]) -> list[tuple[range, Prediction]]:
        answers: list[tuple[range, Prediction]] = self._spare(
            lambda: list(self._encoded.model.decode_each(features, prompts))
        )
        return answers


def _sent(proposal: Proposal) -> ProposalOut:
    packed = pack(proposal.rle.mask())
    return ProposalOut(box=packed.box, area=packed.area, data=packed.text, score=min(1.0, proposal.predicted_iou))


def _out(search: _Search | None) -> ProposalsOut:
    if search is None:
        return ProposalsOut(state="idle", progress=0.0, message="", proposals=[])
    found = search.found if search.state == "done" else []
    return ProposalsOut(state=search.state, progress=search.progress, message=search.message, proposals=found)
