"""The model at work: loaded when it is first needed, one answer at a time, sessions that follow the journal."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

from segue.annotator.budget import MemoryBudget
from segue.annotator.encoder import OPEN, PREFETCH, WAITED, EncodedImage, Encoder
from segue.core.errors import InputError, SegueError
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Image, Mask, Prompt, Text
from segue.session.session import Session

WINDOWS = 64  # that are remembered to be open
T = TypeVar("T")
LIVE = 16  # sessions, the least recently used ends first


@dataclass(frozen=True)
class DecodeRequest:
    """What to answer: the image and its ``size`` (H, W), the object's mask ``base`` (its own id, or None), the groups
    of prompts already answered on top of it, and the new group."""

    image_id: int
    path: str
    size: tuple[int, int]
    object_id: str
    base_id: int | None
    base: Callable[[], Mask] | None
    before: Sequence[tuple[Prompt, ...]]
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True)
class DecodeResult:
    """A mask (H, W) bool with the model's score; milliseconds it waited, and those the ``model`` took, if only
    to guess it."""

    mask: Mask
    score: float
    wait: float
    model: float


@dataclass
class _Live:
    encoded: EncodedImage
    session: Session
    base_id: int | None
    groups: list[tuple[Prompt, ...]]
    took: float = 0.0  # milliseconds of the newest answer

    def fits(self, encoded: EncodedImage, base_id: int | None, before: Sequence[tuple[Prompt, ...]]) -> bool:
        """Whether stepping back is enough to reach the state after ``before``."""
        return self.encoded is encoded and self.base_id == base_id and self.groups[: len(before)] == list(before)


class Worker:
    """A model behind a queue. ``load`` opens it; nothing is loaded before the first image asks.

    Answers run one at a time in their own thread and never wait for a prefetch; encodes run in another.
    """

    def __init__(
        self,
        load: Callable[[], Segmenter],
        read: Callable[[str], Image],
        budget: MemoryBudget,
        stamp: Callable[[str], str] = lambda path: "",
    ) -> None:
        self._load, self._lock, self._counting = load, threading.Lock(), threading.Lock()
        self._model: Segmenter | None = None
        self._loading = False
        self._failure = ""
        self._on = True
        self._sessions: OrderedDict[str, _Live] = OrderedDict()
        self._answers = ThreadPoolExecutor(1, thread_name_prefix="segue-answers")
        self._waiting = 0
        self._warm: Segmenter | None = None
        self._open: dict[str, tuple[int, str]] = {}
        self.encoder = Encoder(self.model, read, budget, stamp)

    def model(self) -> Segmenter:
        """The model, loaded now if it is not yet. Raises ``InputError`` while it is switched off."""
        with self._lock:
            if not self._on:
                raise InputError("a prompt while the model is off", "the model on", "switch it on again")
            if self._model is None:
                self._loading = True
                try:
                    self._model, self._failure = self._load(), ""
                except SegueError as error:
                    self._failure = str(error)
                    raise
                finally:
                    self._loading = False
            return self._model

    @property
    def state(self) -> tuple[Literal["off", "loading", "ready", "failed"], str]:
        """What to show about the model, and why it failed."""
        if not self._on:
            return "off", ""
        if self._failure:
            return "failed", self._failure
        return ("ready" if self._model is not None and not self._loading else "loading"), ""

    @property
    def accepts(self) -> list[str]:
        """Names of the prompt types, once the model is loaded."""
        return sorted(kind.__name__.lower() for kind in self._model.accepts) if self._model is not None else []

    def switch(self, on: bool) -> None:
        """Free the model's and every feature's memory, or load again what the open images need."""
        with self._lock:
            self._on, self._failure = on, ""
            if not on:
                self._model = self._warm = None
        self._start_over()

    def replace(self, load: Callable[[], Segmenter]) -> None:
        """Use another model (for instance with an adapter) from now on."""
        with self._lock:
            self._load, self._model, self._warm, self._failure = load, None, None, ""
        self._start_over()

    def open(self, who: str, image_id: int, path: str, stamp: str, guesses: Sequence[tuple[int, str]]) -> None:
        """A person looks at an image: encode it first, then ``guesses``; what was left behind is cancelled. Features of
        another ``stamp`` are another file's."""
        self._open.pop(who, None)
        self._open[who] = image_id, path
        for gone in list(self._open)[:-WINDOWS]:
            del self._open[gone]
        if not self._on:
            return
        opened = {number for number, _ in self._open.values()}
        self.encoder.keep_open(opened, opened | {guess for guess, _ in guesses})
        encoded = self.encoder.ready.get(image_id)
        if encoded is not None and encoded.stamp != stamp:
            self.encoder.forget(image_id)
        self.encoder.want(image_id, path, OPEN).add_done_callback(self._warm_up)
        for guess, guess_path in guesses:
            self.encoder.want(guess, guess_path, PREFETCH)

    def answer(self, request: DecodeRequest) -> DecodeResult:
        """Wait for the image's features, then for the model, and answer. A prompt that fails changes nothing."""
        asked = time.perf_counter()
        self._began(+1)
        try:
            encoded = self.encoder.ready.get(request.image_id)
            if encoded is None:
                encoded = self.encoder.want(request.image_id, request.path, WAITED).result()
            return self._answers.submit(self._decode, encoded, request, asked).result()
        finally:
            self._began(-1)

    def guess(self, request: DecodeRequest) -> Future[DecodeResult] | None:
        """Begin with what will probably be asked for next, where that delays nobody (None where it would); ``answer``
        finds it done."""
        encoded = self.encoder.ready.get(request.image_id)
        if self._waiting or encoded is None:
            return None
        self._began(+1)
        begun = self._answers.submit(self._decode, encoded, request, time.perf_counter())
        begun.add_done_callback(lambda _: self._began(-1))
        return begun

    def spare(self, task: Callable[[], T]) -> T:
        """What ``task`` returns, computed in the thread of the answers: a click that comes meanwhile is the next."""
        return self._answers.submit(task).result()

    def stop(self) -> None:
        """End both threads."""
        self.encoder.stop()
        self._answers.shutdown(wait=False, cancel_futures=True)

    def _began(self, change: int) -> None:
        with self._counting:
            self._waiting += change
            if self._waiting:
                self.encoder.no_click_pending.clear()
            else:
                self.encoder.no_click_pending.set()

    def _warm_up(self, encoded: Future[EncodedImage]) -> None:
        """A model's first answer builds its graphs and reads its tokenizer: not while somebody waits for it."""
        if encoded.cancelled() or encoded.exception() is not None or encoded.result().model is self._warm:
            return
        self._warm = encoded.result().model
        with contextlib.suppress(RuntimeError):  # the answers' thread has ended
            self._answers.submit(_rehearse, encoded.result())

    def _start_over(self) -> None:
        self.encoder.forget()
        self._answers.submit(self._sessions.clear)
        if self._on:
            for image_id, path in self._open.values():
                self.encoder.want(image_id, path, OPEN).add_done_callback(self._warm_up)

    def _drop_sessions(self) -> None:
        """Sessions hold their image and its features: none outlives the features that are kept."""
        for object_id, live in list(self._sessions.items()):
            if self.encoder.ready.get(live.encoded.image_id) is not live.encoded:
                del self._sessions[object_id]

    def _decode(self, encoded: EncodedImage, request: DecodeRequest, asked: float) -> DecodeResult:
        began = time.perf_counter()
        if encoded.image.shape[:2] != request.size:
            what = "a prompt on a file that was replaced since its masks were made"
            raise InputError(what, "a decision about the masks", "open the image again")
        live = self._follow(encoded, request)
        if len(live.groups) > len(request.before):
            mask = live.session.mask
            assert mask is not None, "a guess is kept with its mask"
        else:
            mask = live.session.add(*request.prompts)
            live.groups.append(request.prompts)
            live.took = 1000 * (time.perf_counter() - began)
        return DecodeResult(mask, live.session.score, 1000 * (began - asked), live.took)

    def _follow(self, encoded: EncodedImage, request: DecodeRequest) -> _Live:
        """The object's session in the state that the journal says, or one further where the answer was guessed: kept,
        stepped back, or played again."""
        live = self._sessions.pop(request.object_id, None)
        before = list(request.before)
        if live is None or not live.fits(encoded, request.base_id, before):
            session = Session(encoded.model, encoded.image, features=encoded.features)
            if request.base is not None:
                session.set_mask(request.base())
            for group in before:
                session.add(*group)
            live = _Live(encoded, session, request.base_id, before)
        guessed = live.groups[: len(before) + 1] == [*before, request.prompts]
        while len(live.groups) > len(before) + guessed:
            live.session.undo()
            live.groups.pop()
        self._drop_sessions()
        self._sessions[request.object_id] = live
        while len(self._sessions) > LIVE:
            self._sessions.popitem(last=False)
        return live


def _rehearse(encoded: EncodedImage) -> None:
    height, width = encoded.image.shape[:2]
    session = Session(encoded.model, encoded.image, features=encoded.features)
    for prompt in (Text("object"), Click(width // 2, height // 2)):
        if type(prompt) in encoded.model.accepts:
            session.add(prompt)
