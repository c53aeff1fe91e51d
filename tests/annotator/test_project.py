"""What a person's actions do, and that the journal says the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from segue.annotator import journal, schemas, schemas_actions
from segue.annotator.actions import Window
from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from segue.annotator.project import Project
from segue.core.errors import StorageError
from tests.annotator.fake_model import ColourModel
from tests.annotator.person import BLUE, RED, Person, mask_of, runs, square


def test_a_click_makes_an_object_and_a_negative_click_takes_away(person: Person) -> None:
    first = person.click("o1", *RED)["changed"][0]
    assert mask_of(first)[RED[1], RED[0]]
    assert not mask_of(first)[BLUE[1], BLUE[0]]
    both = person.click("o1", *BLUE)["changed"][0]
    assert mask_of(both)[RED[1], RED[0]]
    assert mask_of(both)[BLUE[1], BLUE[0]]
    less = person.click("o1", *RED, positive=False)["changed"][0]
    assert not mask_of(less)[RED[1], RED[0]]
    assert less["clicks"] == 3


def test_undo_and_redo_cross_clicks_strokes_and_classes_and_survive_a_restart(
    folder: Path, client: TestClient, person: Person
) -> None:
    label = client.post("/api/labels", json={"key": "l1", "name": "fish"}).json()[-1]["id"]
    states = [person.look()["objects"]]
    person.click("o1", *RED)
    states.append(person.look()["objects"])
    person.act(kind="stroke", object="o1", pixels=runs(square(120, 5)))
    states.append(person.look()["objects"])
    person.act(kind="edit", object="o1", label=label)
    states.append(person.look()["objects"])
    person.act(kind="remove", object="o1")
    states.append(person.look()["objects"])

    with TestClient(build(AnnotateConfig(folder=folder), load=ColourModel), base_url="http://localhost") as again:
        later = Person(again)
        later.open()
        for expected in reversed(states[:-1]):
            later.act(kind="undo")
            assert comparable(later.look()["objects"]) == comparable(expected)
        assert later.send(kind="undo").status_code == 422
        for expected in states[1:]:
            later.act(kind="redo")
            assert comparable(later.look()["objects"]) == comparable(expected)
        assert later.send(kind="redo").status_code == 422


def comparable(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects without the counters of effort, which undo does not give back."""
    return [{k: v for k, v in item.items() if k not in ("clicks", "strokes", "seconds")} for item in objects]


def test_clicking_on_after_a_restart_gives_what_going_on_would_have_given(folder: Path, person: Person) -> None:
    person.click("o1", *RED)
    person.act(kind="stroke", object="o1", pixels=runs(square(120, 5)))
    person.click("o1", *BLUE)
    went_on = mask_of(person.click("o1", 30, 30, positive=False)["changed"][0])
    person.act(kind="undo")
    with TestClient(build(AnnotateConfig(folder=folder), load=ColourModel), base_url="http://localhost") as again:
        later = Person(again)
        later.open()
        started_again = mask_of(later.click("o1", 30, 30, positive=False)["changed"][0])
    assert (went_on == started_again).all()
    assert went_on[8, 123]


def test_a_brush_paints_exactly_its_pixels_and_keeps_holes_and_parts(person: Person) -> None:
    ring = square(10, 10, 30) & ~square(20, 20, 5)
    person.act(kind="stroke", object="o1", pixels=runs(ring))
    painted = person.act(kind="stroke", object="o1", pixels=runs(square(100, 60, 3)))["changed"][0]
    assert (mask_of(painted) == (ring | square(100, 60, 3))).all()
    erased = person.act(kind="stroke", object="o1", pixels=runs(square(12, 12, 4)), erase=True)["changed"][0]
    assert (mask_of(erased) == ((ring | square(100, 60, 3)) & ~square(12, 12, 4))).all()
    assert erased["strokes"] == 3


def test_a_request_sent_twice_acts_once(person: Person) -> None:
    prompt = {"type": "click", "x": 30, "y": 40}
    first = person.send(key="once", kind="prompt", object="o1", prompts=[prompt]).json()
    person.head = 0  # a page that never heard the answer
    second = person.send(key="once", kind="prompt", object="o1", prompts=[prompt]).json()
    assert second["head"] == first["head"]
    assert second["changed"][0]["mask"] == first["changed"][0]["mask"]
    assert person.look()["objects"][0]["clicks"] == 1


def test_a_page_that_missed_a_change_is_told_and_overwrites_nothing(person: Person) -> None:
    person.click("o1", *RED)
    before = person.look()
    person.head = 0
    answer = person.send(kind="remove", object="o1")
    assert answer.status_code == 409
    assert "nothing was overwritten" in answer.json()["message"]
    assert person.look() == before


def test_an_image_that_somebody_holds_can_be_seen_but_not_changed(client: TestClient, person: Person) -> None:
    other = Person(client, window="w2")
    shown = other.open()
    assert (shown["mine"], shown["holder"]) == (False, "w1")
    assert other.send(kind="prompt", object="x", prompts=[{"type": "click", "x": 3, "y": 3}]).status_code == 409
    assert other.open(force=True)["mine"]
    other.click("x", *RED)
    assert person.send(kind="remove", object="x").status_code == 409


def test_a_locked_object_cannot_be_changed_or_removed(person: Person) -> None:
    person.click("o1", *RED)
    person.act(kind="edit", object="o1", locked=True)
    click = {"type": "click", "x": 3, "y": 3}
    for action in (
        {"kind": "prompt", "object": "o1", "prompts": [click]},
        {"kind": "stroke", "object": "o1", "pixels": runs(square(1, 1))},
        {"kind": "remove", "object": "o1"},
    ):
        answer = person.send(**action)
        assert answer.status_code == 422
        assert "lock" in answer.json()["message"]
    person.act(kind="edit", object="o1", locked=False)
    person.act(kind="remove", object="o1")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ({"type": "click", "x": 500, "y": 3}, "Click inside the image"),
        ({"type": "box", "x0": 9, "y0": 9, "x1": 3, "y1": 20}, "x0 < x1"),
        ({"type": "example", "object": "nobody"}, "object with a mask"),
    ],
)
def test_a_wrong_prompt_is_explained_and_leaves_no_trace(person: Person, prompt: dict[str, Any], words: str) -> None:
    answer = person.send(kind="prompt", object="o1", prompts=[prompt])
    assert answer.status_code in (404, 422)
    assert words in answer.json()["message"]
    assert person.look()["objects"] == []
    assert person.look()["head"] == 0


def test_boxes_words_and_examples_reach_the_model(client: TestClient, person: Person) -> None:
    boxed = person.act(kind="prompt", object="a", prompts=[{"type": "box", "x0": 10, "y0": 20, "x1": 30, "y1": 40}])
    assert mask_of(boxed["changed"][0]).sum() == 400
    person.act(kind="prompt", object="b", prompts=[{"type": "text", "words": "a fish"}])
    other = Person(client, image=2)
    other.open()
    found = other.act(kind="prompt", object="c", prompts=[{"type": "example", "object": "a"}])
    assert found["changed"][0]["mask"]["area"] > 0
    later = other.click("c", *BLUE)  # the example is part of the history that follows
    assert mask_of(later["changed"][0])[BLUE[1], BLUE[0]]


def test_objects_are_copied_to_the_next_image_and_reordered(client: TestClient, person: Person) -> None:
    person.act(kind="stroke", object="o1", pixels=runs(square(10, 10)))
    person.act(kind="stroke", object="o2", pixels=runs(square(50, 10)))
    assert person.act(kind="edit", object="o2", place=0)["order"] == ["o2", "o1"]
    assert person.act(kind="undo")["order"] == ["o1", "o2"]
    following = Person(client, image=2)
    copied = following.act(kind="copy", objects={"o1": "n1", "o2": "n2"})["changed"]
    assert [(mask_of(item) == square(x, 10)).all() for item, x in zip(copied, (10, 50), strict=True)] == [True, True]


def test_accepting_counts_and_undo_opens_again(client: TestClient, person: Person) -> None:
    person.click("o1", *RED, seconds=4.0)
    person.act(kind="state", state="accepted")
    overview = client.get("/api/project").json()
    assert overview["counts"] == {"new": 2, "started": 0, "accepted": 1, "skipped": 0}
    assert overview["effort"] == {"objects": 1, "clicks": 1.0, "strokes": 0.0, "seconds": 4.0}
    assert person.act(kind="undo")["state"] == "started"


def test_classes_are_added_renamed_and_removed_with_reasons(client: TestClient, person: Person) -> None:
    send = lambda **body: client.post("/api/labels", json=body)  # noqa: E731
    fish = send(key="a", name="fish").json()[-1]
    assert send(key="a", name="fish").json()[-1] == fish, "the same request twice adds one class"
    assert send(key="b", name="fish").status_code == 422
    person.click("o1", *RED, label=fish["id"])
    assert "1 objects have" in send(key="c", id=fish["id"], remove=True).json()["message"]
    assert send(key="d", id=fish["id"], name="cod", colour="#112233").json()[-1]["name"] == "cod"
    person.act(kind="remove", object="o1")
    assert len(send(key="e", id=fish["id"], remove=True).json()) == 1


def test_the_polygon_view_has_holes_and_says_how_close_it_is(client: TestClient, person: Person) -> None:
    person.act(kind="stroke", object="o1", pixels=runs(square(10, 10, 40) & ~square(25, 25, 8)))
    exact = client.get("/api/images/1/objects/o1/polygon?tolerance=0").json()
    assert (len(exact["rings"]), exact["points"], exact["iou"]) == (2, 8, 1.0)
    person.click("o1", *RED)
    rough = client.get("/api/images/1/objects/o1/polygon?tolerance=5").json()
    assert rough["iou"] < 1


def test_after_any_sequence_of_actions_the_tables_equal_the_journal(client: TestClient, project: Project) -> None:
    dice = random.Random(3)
    people = [Person(client, image=number, window="w") for number in (1, 2, 3)]
    for person in people:
        person.open()
    for step in range(150):
        person = dice.choice(people)
        objects = [item["id"] for item in person.look()["objects"]]
        item = dice.choice(objects) if objects and dice.random() < 0.7 else f"n{step}"
        x, y = dice.randrange(160), dice.randrange(120)
        action = dice.choice(
            [
                {"kind": "prompt", "object": item, "prompts": [{"type": "click", "x": x, "y": y}]},
                {"kind": "stroke", "object": item, "pixels": runs(square(x // 2, y // 2)), "erase": step % 5 == 0},
                {"kind": "edit", "object": item, "locked": dice.random() < 0.2, "place": dice.randrange(3)},
                {"kind": "remove", "object": item},
                {"kind": "undo"},
                {"kind": "undo"},
                {"kind": "redo"},
                {"kind": "state", "state": "accepted"},
            ]
        )
        assert person.send(**action).status_code in (200, 404, 422)
    with project.store.read() as db:
        assert len(journal.entries(db)) > 60
        assert journal.disagreements(db) == []


def test_the_model_can_be_switched_off_and_on(client: TestClient, person: Person, project: Project) -> None:
    person.click("o1", *RED)
    assert client.post("/api/model", json={"on": False}).json()["state"] == "off"
    assert project.worker._model is None
    answer = person.send(kind="prompt", object="o1", prompts=[{"type": "click", "x": 3, "y": 3}])
    assert "switch it on" in answer.json()["message"].lower()
    person.act(kind="stroke", object="o1", pixels=runs(square(50, 50)))
    client.post("/api/model", json={"on": True})
    person.click("o1", *BLUE)


def test_the_mask_is_handed_over_before_it_is_saved_and_not_sent_twice(project: Project, person: Person) -> None:
    prompt = {"type": "click", "x": RED[0], "y": RED[1]}
    request = schemas_actions.Act(key="k", seen=0, action={"kind": "prompt", "object": "a", "prompts": [prompt]})
    heard: list[tuple[schemas.Early, int]] = []

    def hear(early: schemas.Early) -> None:
        heard.append((early, len(project.journal(1, 0, 10))))

    outcome = project.actions.act(1, Window("w1"), request, hear)
    ((early, entries),) = heard
    assert (early.object, entries) == ("a", 0)
    assert outcome.changed[0].mask is None
    saved = person.look()["objects"][0]["mask"]
    assert {key: saved[key] for key in ("box", "area", "data")} == {
        "box": list(early.box),
        "area": early.area,
        "data": early.data,
    }
    again = project.actions.act(1, Window("w1"), request, hear)
    assert len(heard) == 1, "an action that is saved is not asked of the model again"
    assert again.changed[0].mask is not None


def test_an_answer_in_lines_ends_with_the_outcome_or_the_problem(
    project: Project, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lines(key: str) -> list[dict[str, object]]:
        prompt = {"type": "click", "x": RED[0], "y": RED[1]}
        action = {"kind": "prompt", "object": "a", "prompts": [prompt]}
        answer = person.client.post(
            "/api/images/1/actions",
            json={"key": key, "seen": person.head, "action": action},
            headers={**person.headers, "accept": "application/x-ndjson, application/json"},
        )
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        return [json.loads(line) for line in answer.text.splitlines()]

    early, last = lines("k1")
    assert set(early) == {"early"}
    assert last["outcome"]["head"] == 2  # type: ignore[index]
    person.head = 2

    def full(*_: object, **__: object) -> None:
        raise StorageError("a full disk", "free space")

    monkeypatch.setattr(project.store, "write", full)
    early, last = lines("k2")
    assert set(early) == {"early"}
    assert last["status"] == 507
    assert "a full disk" in last["problem"]["message"]  # type: ignore[index]


def test_a_guess_saves_nothing_and_the_click_that_follows_is_answered_as_without_it(
    client: TestClient, person: Person
) -> None:
    def guess(item: str, x: float, y: float, seen: int) -> int:
        click = {"type": "click", "x": x, "y": y, "positive": True}
        body = {"seen": seen, "action": {"kind": "prompt", "object": item, "prompts": [click]}}
        return client.post(f"/api/images/{person.image}/guesses", json=body, headers=person.headers).status_code

    before = person.look(), client.get("/api/journal").json()
    assert guess("o1", *RED, seen=person.head) == 202
    assert (person.look(), client.get("/api/journal").json()) == before
    guessed = mask_of(person.click("o1", *RED)["changed"][0])
    assert (guessed == mask_of(person.click("o2", *RED)["changed"][0])).all()
    assert guess("o1", *BLUE, seen=person.head - 1) == 409
    assert guess("o1", 500, 3, seen=person.head) == 202  # outside: the action will say so, the guess is dropped
    assert person.send(kind="prompt", object="o1", prompts=[{"type": "click", "x": 500, "y": 3}]).status_code == 422
    both = mask_of(person.click("o1", *BLUE)["changed"][0])
    assert both[RED[1], RED[0]]
    assert both[BLUE[1], BLUE[0]]


def test_a_preview_is_what_the_click_then_gives_and_saves_nothing(client: TestClient, person: Person) -> None:
    prompt = {"kind": "prompt", "object": "a", "prompts": [{"type": "click", "x": 30, "y": 40}]}
    person.click("warm", 100, 90)
    body = {"seen": person.head, "action": prompt}
    seen = client.post("/api/images/1/preview", json=body, headers=person.headers).json()
    assert [one["id"] for one in person.look()["objects"]] == ["warm"]
    mask = person.act(**prompt)["changed"][0]["mask"]
    assert {key: mask[key] for key in seen} == seen
    assert client.post("/api/images/1/preview", json=body, headers=person.headers).status_code == 409
