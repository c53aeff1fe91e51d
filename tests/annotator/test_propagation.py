"""Which key frame is carried how far."""

from __future__ import annotations

import pytest

from segue.annotator.propagation import Key, Span, plan

TWO = [Key(1, 2), Key(1, 7)]


@pytest.mark.parametrize(
    ("keys", "frame", "direction", "expected"),
    [
        (TWO, 0, "both", [(2, 0), (2, 4), (7, 5), (7, 9)]),
        (TWO, 2, "forward", [(2, 6), (7, 9)]),
        (TWO, 5, "forward", [(2, 6), (7, 9)]),
        (TWO, 7, "forward", [(7, 9)]),
        (TWO, 7, "backward", [(2, 0), (7, 3)]),
        (TWO, 2, "backward", [(2, 0)]),
        (TWO, 7, "between", [(2, 4), (7, 5), (7, 9)]),
        ([Key(1, 0), Key(1, 4), Key(1, 9)], 4, "between", [(0, 2), (4, 3), (4, 6), (9, 7)]),
        ([Key(1, 3), Key(1, 6, "gone")], 0, "both", [(3, 0), (3, 5)]),
        ([Key(1, 3), Key(1, 5, "gone"), Key(1, 8)], 0, "both", [(3, 0), (3, 4), (8, 9)]),
        ([Key(1, 3), Key(1, 4)], 0, "forward", [(4, 9)]),
        ([Key(1, 9)], 9, "forward", []),
        ([Key(1, 4, "gone")], 0, "both", []),
    ],
)
def test_spans(keys, frame, direction, expected):
    assert [(span.start, span.end) for span in plan(keys, 10, frame, direction)] == expected


def test_what_is_back_is_looked_for_until_the_next_key_frame():
    keys = [Key(1, 1), Key(1, 3, "gone"), Key(1, 5, "back")]
    assert plan(keys, 10, 0, "forward") == [Span(1, 1, 2), Span(1, 4, 9, lost=True)]
    assert plan([*keys, Key(1, 8)], 10, 0, "both")[-2:] == [Span(1, 8, 6), Span(1, 8, 9)]


def test_every_frame_between_key_frames_is_filled_once():
    keys = [Key(label, frame) for label, frames in ((1, (3, 11, 12, 30)), (2, (0, 39))) for frame in frames]
    spans = plan(keys, 40, 0, "both")
    for label, own in ((1, {3, 11, 12, 30}), (2, {0, 39})):
        filled = [frame for span in spans if span.label == label for frame in range(40) if frame in span]
        assert sorted(filled) == sorted(set(range(40)) - own)
