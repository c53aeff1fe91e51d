"""Statistics: what is there, what it took, and how far two people agree."""

from __future__ import annotations

import csv
import io

import numpy as np
from fastapi.testclient import TestClient

from tests.annotator.person import RED, Person, mask_of, runs, square


def rows(efforts: list[dict]) -> dict[str, tuple]:
    return {one["name"]: (one["objects"], one["pixels"], one["clicks"], round(one["seconds"], 3)) for one in efforts}


def test_objects_and_effort_by_class_and_day(client: TestClient) -> None:
    client.post("/api/labels", json={"key": "l", "name": "fish"})
    person = Person(client)
    day = client.get("/api/journal").json()[0]["at"][:10]
    person.open()
    clicks = [{"type": "click", "x": RED[0], "y": RED[1]}, {"type": "click", "x": RED[0] + 2, "y": RED[1]}]
    first = person.send(seconds=2.5, kind="prompt", object="a", prompts=clicks, label=1).json()
    area = int(mask_of(first["changed"][0]).sum())
    person.send(seconds=1.5, kind="stroke", object="b", pixels=runs(square(5, 5)), label=2)
    person.send(seconds=4.0, kind="stroke", object="c", pixels=runs(square(70, 5)), label=2)
    person.act(kind="undo")
    found = client.get("/api/statistics").json()
    assert rows(found["classes"]) == {"object": (1, area, 2, 2.5), "fish": (1, 100, 0, 1.5)}
    assert rows(found["days"]) == {day: (3, 0, 2, 8.0)}, "the time of what was taken back was spent"
    assert rows(found["phases"]) == {"no adapter": (3, 0, 2, 8.0)}
    assert found["agreement"] == []


def test_two_people_on_one_object_are_compared(client: TestClient) -> None:
    ann, bob = Person(client, 1, "ann"), Person(client, 1, "bob")
    ann.open()
    ann.act(kind="stroke", object="a", pixels=runs(square(20, 20)))
    ann.act(kind="stroke", object="only-ann", pixels=runs(square(90, 20)))
    client.delete("/api/images/1/hold", headers=ann.headers)
    bob.open()
    bob.act(kind="stroke", object="a", pixels=runs(square(25, 20)))
    (pair,) = client.get("/api/statistics").json()["agreement"]
    assert (pair["first"], pair["second"], pair["objects"]) == ("ann", "bob", 1)
    assert np.isclose(pair["iou"], 100 / 150)


def test_the_table_has_every_number_and_no_formula(client: TestClient) -> None:
    client.post("/api/labels", json={"key": "l", "name": "=1+1"})
    person = Person(client)
    person.open()
    person.act(kind="stroke", object="a", pixels=runs(square(20, 20)), label=2)
    answer = client.get("/api/statistics.csv")
    assert answer.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(line["table"], line["name"]) for line in lines][:2] == [("class", "object"), ("class", "'=1+1")]
    assert lines[1]["pixels"] == "100"
