"""Masks shaped by rule and by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.annotator.shaping import RULES, parts, reshaped, shaped
from segue.core.errors import InputError
from segue.data.polygon import to_rings
from tests.annotator.person import Person, mask_of, runs, square


def blob(seed: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=size), (0, 0), 3)
    return noise > np.quantile(noise, 0.6)


@given(st.integers(0, 200), st.sampled_from(sorted(RULES)), st.sampled_from([0, 1, 2.5, 7, 40]))
def test_a_rule_around_the_mask_is_the_rule_on_the_whole_image(seed: int, how: str, amount: float) -> None:
    mask = blob(seed)
    whole = RULES[how](mask, amount)
    if whole.any():
        assert (shaped(mask, how, amount) == whole).all()
    else:
        with pytest.raises(InputError, match="no pixel"):
            shaped(mask, how, amount)


def test_holes_and_islands_go_by_their_size() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:30, 5:30] = True
    mask[10:12, 10:12] = mask[20:25, 20:25] = False
    mask[35, 35] = mask[33:36, 1:4] = True
    assert int(shaped(mask, "fill-holes", 4).sum()) == int(mask.sum()) + 4
    assert int(shaped(mask, "fill-holes", 1000).sum()) == int(mask.sum()) + 29
    assert int(shaped(mask, "drop-islands", 1).sum()) == int(mask.sum()) - 1
    assert int(shaped(mask, "drop-islands", 10_000).sum()) == 25 * 25 - 29, "the largest part stays"
    assert len(parts(mask)) == 3


def test_growing_and_shrinking_are_disks() -> None:
    mask = np.zeros((41, 41), bool)
    mask[20, 20] = True
    y, x = np.mgrid[:41, :41]
    assert (shaped(mask, "grow", 7) == (np.hypot(x - 20, y - 20) <= 7)).all()
    mask[:, :20] = True
    assert shaped(mask, "shrink", 3)[:, 0].all(), "the image's border is no edge"


@given(st.integers(0, 200), st.sampled_from([0.0, 1.0, 3.0]), st.data())
def test_an_edited_vertex_changes_the_mask_only_along_its_edges(
    seed: int, tolerance: float, data: st.DataObject
) -> None:
    mask = blob(seed)
    rings = to_rings(mask, tolerance)
    number = data.draw(st.integers(0, len(rings) - 1))
    ring = rings[number]
    at = data.draw(st.integers(0, len(ring) - 1))
    moved = ring.copy()
    moved[at] += data.draw(st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
    try:
        after = reshaped(mask, tolerance, number, moved.reshape(-1).tolist())
    except InputError:
        return  # nothing of a small ring was left
    corners = np.array([ring[at - 1], ring[at], ring[(at + 1) % len(ring)], moved[at]])
    low, high = corners.min(0) - tolerance - 3, corners.max(0) + tolerance + 3
    y, x = np.nonzero(mask ^ after)
    assert ((x >= low[0]) & (x <= high[0]) & (y >= low[1]) & (y <= high[1])).all()


def test_a_ring_is_removed_and_added_and_what_was_not_edited_stays() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:30, 5:30] = True
    mask[10:15, 10:15] = False
    (_, hole) = to_rings(mask, 1.0)
    assert hole.min() == 10
    assert int(reshaped(mask, 1.0, 1, []).sum()) == 625
    more = reshaped(mask, 1.0, 2, [32, 32, 36, 32, 36, 36, 32, 36])
    assert int(more.sum()) == int(mask.sum()) + 16
    with pytest.raises(InputError, match="ring 9"):
        reshaped(mask, 1.0, 8, [])


def test_every_shaping_is_one_action_that_undo_takes_back(person: Person) -> None:
    mask = square(20, 20, 30)
    mask[30:33, 30:33] = False
    mask[80:90, 80:90] = True
    person.act(kind="stroke", object="a", pixels=runs(mask))
    person.act(kind="stroke", object="b", pixels=runs(square(40, 40, 30)))
    for action, area in (
        ({"kind": "shape", "object": "a", "how": "fill-holes", "amount": 50}, 1000),
        ({"kind": "shape", "object": "a", "how": "drop-islands", "amount": 200}, 891),
        (
            {"kind": "reshape", "object": "a", "tolerance": 0, "ring": 0, "points": [20, 20, 50, 20, 50, 40, 20, 40]},
            691,
        ),
        ({"kind": "combine", "object": "a", "others": ["b"], "how": "subtract"}, 891),
        ({"kind": "combine", "object": "a", "others": ["b"], "how": "merge"}, 1791),
        ({"kind": "split", "object": "a", "parts": "p"}, 891),
    ):
        outcome = person.act(**action)
        changed = {one["id"]: one for one in outcome["changed"]}
        assert int(mask_of(changed["a"]).sum()) == area, action
        assert outcome["removed"] == (["b"] if action.get("how") == "merge" else [])
        assert ("p-0" in outcome["order"]) == (action["kind"] == "split")
        back = person.act(kind="undo")
        assert back["order"] == ["a", "b"]
        assert (mask_of(next(one for one in back["changed"] if one["id"] == "a")) == mask).all()


def test_what_cannot_be_shaped_is_said(person: Person) -> None:
    person.act(kind="stroke", object="a", pixels=runs(square(20, 20)))
    person.act(kind="stroke", object="b", pixels=runs(square(10, 10, 40)))
    assert "one part" in person.send(kind="split", object="a", parts="p").text
    assert "no pixel" in person.send(kind="combine", object="a", others=["b"], how="subtract").text
    assert "itself" in person.send(kind="combine", object="a", others=["a"], how="merge").text
    assert "no pixel" in person.send(kind="shape", object="a", how="shrink", amount=20).text
    assert "at most 200" in person.send(kind="shape", object="a", how="grow", amount=201).text
    assert "three points" in person.send(kind="reshape", object="a", tolerance=0, ring=0, points=[1, 2]).text
    person.act(kind="edit", object="a", locked=True)
    for action in ({"kind": "shape", "how": "grow", "amount": 1}, {"kind": "split", "parts": "p"}):
        assert "locked" in person.send(object="a", **action).text
    person.act(kind="combine", object="b", others=["a"], how="subtract")


def test_a_preview_is_what_the_rule_then_does(person: Person) -> None:
    person.act(kind="stroke", object="a", pixels=runs(square(20, 20)))
    seen = person.client.get("/api/images/1/objects/a/shape?how=grow&amount=3").json()
    done = person.act(kind="shape", object="a", how="grow", amount=3)["changed"][0]["mask"]
    assert {key: done[key] for key in seen} == seen
