"""Encoding in the background: who goes first, what is given up, what is shown meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest

from segue.annotator.budget import MemoryBudget
from segue.annotator.encoder import OPEN, PREFETCH, WAITED, Encoder
from segue.annotator.worker import DecodeRequest, Worker
from segue.core.errors import ImageError, InputError
from segue.core.types import Click, Image, Prediction, Text
from tests.annotator.fake_model import ColourModel

SIZE = (40, 60)


def read(path: str) -> Image:
    if path == "broken":
        raise ImageError("a broken file", "an image")
    return np.full((*SIZE, 3), 100, np.uint8)


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


@pytest.fixture
def slow() -> Iterator[Encoder]:
    """One encode takes 0.4 seconds in twenty steps."""
    model = ColourModel(encode_seconds=0.4)
    encoder = Encoder(lambda: model, read, MemoryBudget(10**9))
    yield encoder
    encoder.stop()


def test_progress_rises_to_ready(slow: Encoder) -> None:
    slow.want(1, "a", OPEN).result(10)
    seen = []
    future = slow.want(2, "b", OPEN)
    while not future.done():
        state, progress, _, _ = slow.progress(2)
        if state == "encoding":
            seen.append(progress)
        time.sleep(0.02)
    assert seen == sorted(seen)
    assert any(0.2 < share < 0.8 for share in seen)
    state, progress, _, milliseconds = slow.progress(2)
    assert (state, progress) == ("ready", 1.0)
    assert milliseconds is not None
    assert milliseconds > 300


def test_an_opened_image_interrupts_a_guess(slow: Encoder) -> None:
    guess = slow.want(1, "a", PREFETCH)
    until(lambda: slow.progress(1)[0] == "encoding")
    started = time.monotonic()
    slow.want(2, "b", OPEN).result(10)
    assert time.monotonic() - started < 0.75, "the guess ran to its end first"
    with pytest.raises(CancelledError):
        guess.result(0)


def test_encodes_are_dropped_when_the_person_moves_on_but_not_under_a_click(slow: Encoder) -> None:
    left, clicked = slow.want(1, "a", OPEN), slow.want(2, "b", WAITED)
    slow.keep_open({3}, {3})
    assert left.cancelled()
    assert clicked.result(10).milliseconds > 0


def test_a_guess_steps_aside_while_a_click_is_answered(slow: Encoder) -> None:
    future = slow.want(1, "a", PREFETCH)
    until(lambda: slow.progress(1)[0] == "encoding")
    slow.no_click_pending.clear()
    time.sleep(0.6)
    assert not future.done(), "prefetching went on beside the click"
    slow.no_click_pending.set()
    future.result(10)


def test_memory_is_bounded_and_the_newest_is_kept() -> None:
    model = ColourModel()
    encoder = Encoder(lambda: model, read, MemoryBudget(1))
    for number in range(5):
        encoder.want(number, "x", OPEN).result(10)
    until(lambda: encoder.progress(4)[0] == "ready")
    assert [number for number in range(5) if number in encoder.ready] == [4]
    encoder.stop()


def test_a_failure_is_told_and_can_be_tried_again(slow: Encoder) -> None:
    with pytest.raises(ImageError):
        slow.want(1, "broken", OPEN).result(10)
    state, _, message, _ = slow.progress(1)
    assert (state, "broken file" in message) == ("failed", True)
    slow.want(1, "a", OPEN).result(10)


def test_clicks_made_while_encoding_are_answered_in_order() -> None:
    model = ColourModel(encode_seconds=0.3)
    worker = Worker(lambda: model, read, MemoryBudget(10**9))
    worker.open("me", 1, "a", "", [])
    answers = []

    def click(number: int) -> None:
        before = [(Click(10 * k + 5, 5),) for k in range(number)]
        request = DecodeRequest(1, "a", SIZE, "item", None, None, before, (Click(10 * number + 5, 5),))
        answers.append((number, worker.answer(request)))

    threads = [threading.Thread(target=click, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
        time.sleep(0.02)
    for thread in threads:
        thread.join(10)
    assert sorted(number for number, _ in answers) == [0, 1, 2, 3]
    assert all(answer.mask.any() for _, answer in answers)
    worker.stop()


def test_a_model_that_is_off_frees_everything_and_refuses() -> None:
    worker = Worker(ColourModel, read, MemoryBudget(10**9))
    worker.encoder.want(1, "a", OPEN).result(10)
    worker.switch(on=False)
    assert 1 not in worker.encoder.ready
    with pytest.raises(InputError, match="model is off"):
        worker.model()
    worker.stop()


def test_the_first_answer_is_rehearsed_while_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    model = ColourModel()
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda *given: (said.append(given[1][-1]), decode(*given))[1])
    worker = Worker(lambda: model, read, MemoryBudget(10**9))
    worker.open("w1", 1, "a", "", [])
    until(lambda: len(said) == 2)
    assert [type(prompt) for prompt in said] == [Text, Click]
    worker.open("w1", 2, "b", "", [])
    until(lambda: 2 in worker.encoder.ready)
    answer = worker.answer(DecodeRequest(1, "a", SIZE, "o1", None, None, [], (Click(5, 5),)))
    assert len(said) == 3, "once a model"
    assert answer.mask[5, 5]
    worker.stop()


def test_an_answer_that_was_guessed_is_found_and_a_wrong_guess_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[object] = []
    model = ColourModel()
    decode = model.decode
    worker = Worker(lambda: model, read, MemoryBudget(10**9))
    worker.encoder.want(1, "a", OPEN).result(10)
    first, second, other = ((Click(x, 5.0),) for x in (5.0, 15.0, 25.0))
    plain = [
        worker.answer(DecodeRequest(1, "a", SIZE, "plain", None, None, list(before), now))
        for before, now in (([], first), ([first], second))
    ]

    def slowly(*given: Any) -> Prediction:
        said.append(given[1][-1])
        time.sleep(0.02)
        return decode(*given)

    monkeypatch.setattr(model, "decode", slowly)
    worker.guess(DecodeRequest(1, "a", SIZE, "o", None, None, [], first))
    answer = worker.answer(DecodeRequest(1, "a", SIZE, "o", None, None, [], first))
    assert (answer.mask == plain[0].mask).all()
    assert len(said) == 1, "the guess was the answer"
    assert answer.model >= 20, "what the guess took is what the model took"
    worker.guess(DecodeRequest(1, "a", SIZE, "o", None, None, [first], other))
    answer = worker.answer(DecodeRequest(1, "a", SIZE, "o", None, None, [first], second))
    assert (answer.mask == plain[1].mask).all()
    worker.guess(DecodeRequest(2, "b", SIZE, "o", None, None, [], first))
    assert 2 not in worker.encoder.ready, "a guess encodes nothing"
    worker.stop()


def test_another_model_encodes_what_is_open_at_once() -> None:
    worker = Worker(ColourModel, read, MemoryBudget(10**9))
    worker.open("me", 1, "a", "", [])
    until(lambda: 1 in worker.encoder.ready)
    before = worker.encoder.ready[1]
    worker.replace(ColourModel)
    until(lambda: 1 in worker.encoder.ready)
    assert worker.encoder.ready[1].model is not before.model
    worker.switch(on=False)
    assert not worker.encoder.ready
    worker.switch(on=True)
    until(lambda: 1 in worker.encoder.ready)
    worker.stop()


def test_a_file_of_another_stamp_is_encoded_again() -> None:
    stamps = {"a": "1"}
    worker = Worker(ColourModel, read, MemoryBudget(10**9), lambda path: stamps[path])
    worker.open("me", 1, "a", "1", [])
    until(lambda: 1 in worker.encoder.ready)
    before = worker.encoder.ready[1]
    worker.open("me", 1, "a", "1", [])
    assert worker.encoder.ready[1] is before
    stamps["a"] = "2"
    worker.open("me", 1, "a", "2", [])
    until(lambda: 1 in worker.encoder.ready)
    assert worker.encoder.ready[1] is not before
    worker.stop()


def test_sessions_end_with_the_features_that_they_hold() -> None:
    one = np.zeros((*SIZE, 3), np.uint8).nbytes * 5  # an image with its features of four bytes
    worker = Worker(ColourModel, read, MemoryBudget(int(2.5 * one)))
    for number in range(1, 6):
        worker.open("me", number, "a", "", [])
        worker.answer(DecodeRequest(number, "a", SIZE, f"o{number}", None, None, [], (Click(5, 5),)))
    until(lambda: len(worker._sessions) <= 2)
    assert len(worker.encoder.ready) == 2
    worker.stop()
