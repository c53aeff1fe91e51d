"""Proposals for the open image, and what a person makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from segue.core.types import Box
from tests.annotator.fake_model import ColourModel
from tests.annotator.person import BLUE, RED, Person, mask_of
from tests.e2e.conftest import until

ADDRESS = "/api/images/1/proposals"


class BoxesOnly(ColourModel):
    accepts = frozenset({Box})


def ended(client: TestClient) -> dict[str, Any]:
    client.post(ADDRESS)
    return until(lambda: next(iter([out for out in [client.get(ADDRESS).json()] if out["state"] != "running"]), None))


def at(found: list[dict[str, Any]], point: tuple[int, int]) -> dict[str, Any]:
    """The smallest proposal over a point, as the page takes it."""
    over = [one for one in found if mask_of({"mask": one})[point[1], point[0]]]
    return min(over, key=lambda one: one["area"])


def part(one: dict[str, Any]) -> dict[str, Any]:
    return {"pixels": {"box": one["box"], "data": one["data"]}, "score": one["score"]}


def test_what_is_proposed_is_accepted_and_merged_as_one_action_each(person: Person) -> None:
    out = ended(person.client)
    assert (out["state"], out["progress"]) == ("done", 1.0)
    assert person.look()["objects"] == [], "nothing is saved before somebody accepts it"
    red, blue = (at(out["proposals"], point) for point in (RED, BLUE))
    drawn = np.zeros((120, 160), bool)
    drawn[20:60, 20:53] = True
    assert (mask_of({"mask": red}) == drawn).all()

    taken = person.act(kind="adopt", adopted={"a": [part(red)]}, label=1)
    assert (mask_of(taken["changed"][0]) == drawn).all()
    assert (taken["changed"][0]["origin"], taken["changed"][0]["label"]) == ("proposed", 1)
    assert person.act(kind="undo")["order"] == []
    assert person.act(kind="redo")["order"] == ["a"]

    person.act(kind="adopt", adopted={"b": [part(red), part(blue)], "c": [part(blue)]})
    masks = {one["id"]: mask_of(one) for one in person.look()["objects"]}
    assert (masks["b"] == drawn | mask_of({"mask": blue})).all()
    assert (masks["c"] == mask_of({"mask": blue})).all()
    assert person.act(kind="undo")["order"] == ["a"], "several objects, one action"
    journal = person.client.get("/api/images/1/journal").json()
    assert [line["kind"] for line in journal if line["kind"] == "adopt"] == ["adopt", "adopt"]
    assert "data" not in str(journal[0]["action"]), "the journal's line does not repeat the pixels"


def test_an_accepted_proposal_is_corrected_by_clicks(person: Person) -> None:
    red = at(ended(person.client)["proposals"], RED)
    person.act(kind="adopt", adopted={"a": [part(red)]})
    after = mask_of(person.click("a", *BLUE)["changed"][0])
    assert after[RED[1], RED[0]]
    assert after[BLUE[1], BLUE[0]]


def test_put_away_they_are_gone(person: Person) -> None:
    ended(person.client)
    assert person.client.delete(ADDRESS).status_code == 204
    assert person.client.get(ADDRESS).json() == {"state": "idle", "progress": 0.0, "message": "", "proposals": []}


def test_bad_masks_and_taken_names_change_nothing(person: Person) -> None:
    red = part(at(ended(person.client)["proposals"], RED))
    person.act(kind="adopt", adopted={"a": [red]})
    assert "exists already" in person.send(kind="adopt", adopted={"b": [red], "a": [red]}).text
    outside = {**red, "pixels": {**red["pixels"], "box": [150, 20, 183, 60]}}
    assert person.send(kind="adopt", adopted={"c": [outside]}).status_code == 422
    assert person.send(kind="adopt", adopted={}).status_code == 422
    assert [one["id"] for one in person.look()["objects"]] == ["a"]


def test_a_model_without_clicks_says_that_it_proposes_nothing(folder: Any) -> None:
    with TestClient(build(AnnotateConfig(folder=folder), load=BoxesOnly), base_url="http://localhost") as client:
        out = ended(client)
        assert out["state"] == "failed"
        assert "without clicks" in out["message"]
        background = client.get("/api/status?image=1").json()["background"]
    assert [one["state"] for one in background if one["kind"] == "propose"] == ["failed"]
