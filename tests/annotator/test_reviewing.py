"""A reviewer's verdict, and comments."""

from __future__ import annotations

from segue.annotator import journal
from segue.annotator.project import Project
from tests.annotator.person import RED, Person


def test_a_verdict_is_on_accepted_images_and_undone(person: Person) -> None:
    person.click("a", *RED)
    assert "accept it first" in person.send(kind="review", verdict="approved").text
    person.act(kind="state", state="accepted")
    assert person.act(kind="review", verdict="approved")["review"] == "approved"
    assert person.act(kind="undo")["review"] == ""
    sent_back = person.act(kind="review", verdict="returned")
    assert (sent_back["state"], sent_back["review"]) == ("started", "returned")
    for state, expected in (("returned", [1]), ("unreviewed", []), ("approved", [])):
        lines = person.client.get("/api/images", params={"state": state}).json()["images"]
        assert [line["id"] for line in lines] == expected
    again = person.act(kind="state", state="accepted")
    assert again["review"] == "", "accepted again it waits for a verdict"
    assert person.client.get("/api/images?state=unreviewed").json()["total"] == 1


def test_what_was_approved_and_then_changed_is_not_approved(person: Person) -> None:
    person.click("a", *RED)
    person.act(kind="state", state="accepted")
    person.act(kind="review", verdict="approved")
    assert person.act(kind="edit", object="a", locked=True)["review"] == ""
    assert person.act(kind="undo")["review"] == "approved"


def test_comments_are_pinned_settled_and_undone(person: Person, project: Project) -> None:
    person.click("a", *RED)
    said = person.act(kind="comment", comment="c1", text=" The edge is off ", x=30, y=40, object="a", name="ann")
    (one,) = said["comments"]
    assert (one["text"], one["who"], one["x"], one["object"], one["done"]) == ("The edge is off", "ann", 30, "a", False)
    assert person.act(kind="comment", comment="c1", done=True)["comments"][0]["done"]
    assert not person.act(kind="undo")["comments"][0]["done"]
    assert person.act(kind="undo")["comments"] == []
    assert [one["id"] for one in person.act(kind="redo")["comments"]] == ["c1"]
    assert person.look()["comments"][0]["text"] == "The edge is off"
    assert "words" in person.send(kind="comment", comment="c2").text
    assert "object zz" in person.send(kind="comment", comment="c2", text="x", object="zz").text
    with project.store.read() as db:
        assert journal.disagreements(db) == []
