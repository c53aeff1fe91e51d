"""Photos while they are decoded, and what is kept of them, share one bound."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import numpy as np

from segue.annotator.budget import DECODED, MemoryBudget
from segue.annotator.encoder import OPEN, EncodedImage, Encoder
from segue.core.types import Image
from tests.annotator.fake_model import ColourModel


def test_few_pixels_are_decoded_at_one_time() -> None:
    budget, most, now = MemoryBudget(100 * DECODED), [0], [0]

    def decode(count: int) -> None:
        with budget.decoding(count):
            now[0] += min(count, 100)
            most[0] = max(most[0], now[0])
            time.sleep(0.01)
            now[0] -= min(count, 100)

    threads = [threading.Thread(target=decode, args=(count,)) for count in (60, 60, 500, 30, 30, 500, 60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert (most[0] <= 100, now[0], budget.left) == (True, 0, 100 * DECODED)


def test_what_is_kept_gives_way_to_a_photo_that_is_decoded() -> None:
    model = ColourModel()

    def read(_: str) -> Image:
        return np.zeros((40, 60, 3), np.uint8)

    budget = MemoryBudget(5 * 40 * 60 * 15)
    encoder = Encoder(lambda: model, read, budget)
    encoder.keep_open({1}, {1, 2, 3, 4})
    done: list[Future[EncodedImage]] = [encoder.want(number, "a", OPEN) for number in (1, 2, 3, 4)]
    assert [future.result(10).image_id for future in done] == [1, 2, 3, 4]
    time.sleep(0.05)
    assert list(encoder.ready) == [1, 2, 3, 4]
    with budget.decoding(budget.limit // DECODED // 2):
        assert list(encoder.ready) == [1, 4], "the open image and the newest stay longest"
    encoder.stop()
