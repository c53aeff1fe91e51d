"""kill -9 between any two actions, and in the middle of one: what was shown as saved is there."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import httpx

from segue.annotator import journal
from segue.annotator.store import Store
from tests.annotator.person import propose, runs, square
from tests.annotator.running import Running

ACTIONS, KILLS = 300, 10
IMAGES = (1, 2, 3)
DEFINED = [
    {"name": "grade", "type": "choice", "of": "object", "options": ["good", "bad"]},
    {"name": "count", "type": "number", "of": "object", "options": []},
    {"name": "sure", "type": "flag", "of": "image", "options": []},
]


class Hand:
    """Acts through real HTTP, and sends a request again with the same key when the server went away."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.shown: dict[int, Any] = {}
        self.client = httpx.Client(timeout=30)

    def look(self, image: int) -> dict[str, Any]:
        """Everything that a page shows of an image."""
        seen = self.client.get(f"{self.server.url}/api/images/{image}").json()
        return {key: seen[key] for key in ("head", "state", "review", "tags", "objects", "comments", "findings")}

    def look_at_all(self) -> dict[int, Any]:
        return {image: self.look(image) for image in IMAGES}

    def begin(self, db: Path) -> None:
        """A second class, attributes and tags, and found masks that wait."""
        for path, body in (("labels", {"name": "fish"}), ("settings", {"attributes": DEFINED})):
            answer = self.client.post(f"{self.server.url}/api/{path}", json={"key": path, **body})
            assert answer.status_code in (200, 204), answer.text
        propose(db, *(2 * IMAGES))
        self.shown = self.look_at_all()

    def send(self, image: int, action: dict[str, Any], key: str) -> bool:
        """Whether an answer came; a change of many images is a request of its own."""
        url = f"{self.server.url}/api/images/{image}/actions"
        body = {"key": key, "seen": self.shown[image]["head"], "action": action}
        if "images" in action:
            url, body = f"{self.server.url}/api/bulk", {"key": key, **action}
        try:
            answer = self.client.post(url, json=body)
        except httpx.TransportError:
            return False
        assert answer.status_code in (200, 404, 422), answer.text
        return True


def script(dice: random.Random, step: int, seen: dict[str, Any], others: list[str]) -> dict[str, Any]:
    """What the person does next on an image that looks like ``seen``; ``others`` are objects of another image."""
    objects = [item["id"] for item in seen["objects"]]
    item = dice.choice(objects) if objects and dice.random() < 0.8 else f"n{step}"
    x, y = dice.randrange(150), dice.randrange(110)
    remark = dice.choice([f"c{step}", *(one["id"] for one in seen["comments"])])
    if step % 21 in (17, 20):  # three steps later it is the same image
        return {"kind": "undo" if step % 21 == 17 else "redo"}
    choices: list[dict[str, Any]] = [
        {"kind": "prompt", "object": item, "prompts": [{"type": "click", "x": x, "y": y, "positive": step % 4 > 0}]},
        {"kind": "prompt", "object": f"m{step}", "prompts": [{"type": "click", "x": x, "y": y}]},
        {"kind": "stroke", "object": item, "pixels": runs(square(x, y)), "erase": False},
        {"kind": "edit", "object": item, "hidden": bool(step % 2), "label": 1 + step % 2},
        {"kind": "remove", "object": item},
        {"kind": "shape", "object": item, "how": dice.choice(["grow", "smooth", "fill-holes"]), "amount": 3},
        {"kind": "reshape", "object": item, "tolerance": 1, "ring": 0, "points": [x, y, x + 9, y, x, y + 9]},
        {"kind": "split", "object": item, "parts": f"p{step}"},
        {"kind": "combine", "object": item, "others": objects[:1], "how": dice.choice(["merge", "subtract"])},
        {"kind": "relabel", "label": 1 + step % 2},
        {"kind": "review", "verdict": dice.choice(["approved", "returned"])},
        {"kind": "comment", "comment": remark, "text": "look", "x": x, "y": y, "done": remark != f"c{step}"},
        {"kind": "describe", "object": item, "values": {"grade": dice.choice(["good", "bad", None]), "count": step}},
        {"kind": "describe", "values": {"sure": bool(step % 2)}},
        {"kind": "undo"},
        {"kind": "state", "state": dice.choice(["accepted", "started", "skipped"])},
        {"images": list(IMAGES), "change": {"kind": "relabel", "label": 1 + step % 2}},
        {"images": [1, 3], "change": {"kind": "state", "state": "accepted"}},
    ]
    if others:
        choices.append({"kind": "copy", "objects": {others[0]: f"d{step}"}})
    if seen["findings"]:
        choices.append(
            {"kind": "decide", "finding": seen["findings"][0]["id"], "accept": step % 2 > 0, "object": f"f{step}"}
        )
    if step % 60 == 59:
        return {"images": [2], "change": {"kind": "clear"}}
    return dice.choice(choices)


def live_through(folder: Path, home: Path, actions: int, kills: int, dice: random.Random) -> dict[str, int]:
    """Do ``actions`` on a project in ``home``, and end the server ``kills`` times: by turns between two of them and in
    the middle of one. Whatever was shown as saved must be there again, at once and at the end; counts of what was
    done, by kind."""
    db = f"sqlite:///{home}/project.db"
    hand = Hand(Running(folder, db))
    hand.begin(home / "project.db")
    moments = random.Random(kills)  # of their own: more kills leave the actions as they are
    killed = sorted(moments.sample(range(actions), kills))
    done: dict[str, int] = {}
    for step in range(actions):
        image = IMAGES[step % 3]
        others = [item["id"] for item in hand.shown[IMAGES[(step + 1) % 3]]["objects"]]
        action = script(dice, step, hand.shown[image], others)
        middle = step in killed and killed.index(step) % 2 == 0
        if step in killed and not middle:
            hand.server.kill()
            hand.server = Running(folder, db, hand.server.port)
            assert hand.look_at_all() == hand.shown, f"killed before step {step}"
        if middle:
            timer = threading.Timer(moments.choice([0.0, 0.002, 0.006, 0.012, 0.03]), hand.server.kill)
            timer.start()
            heard = hand.send(image, action, f"k{step}")
            timer.join()
            hand.server = Running(folder, db, hand.server.port)
            if not heard:  # the page sends it again; whether it had been saved or not, it counts once
                assert hand.send(image, action, f"k{step}")
        else:
            assert hand.send(image, action, f"k{step}")
        touched = action.get("images", [image])
        now = hand.look_at_all() if middle or "images" in action else {**hand.shown, image: hand.look(image)}
        touched = [*touched, image]
        assert all(now[other] == hand.shown[other] for other in IMAGES if other not in touched), f"step {step}"
        if now != hand.shown:
            kind = action.get("kind") or f"bulk {action['change']['kind']}"
            done[kind] = done.get(kind, 0) + 1
        hand.shown = now
    hand.server.kill()
    store = Store(db)
    with store.read() as session:
        assert journal.disagreements(session) == []
        keys = [entry.key for entry in journal.entries(session)]
        assert len(keys) == len(set(keys)) > actions / 2
    hand.server = Running(folder, db)
    assert hand.look_at_all() == hand.shown
    hand.server.stop()
    return done


def test_nothing_that_was_shown_as_saved_is_lost(folder: Path, tmp_path: Path) -> None:
    done = live_through(folder, tmp_path, ACTIONS, KILLS, random.Random(11))
    wanted = {"prompt", "stroke", "shape", "reshape", "split", "combine", "review", "comment", "describe", "decide"}
    assert wanted | {"copy", "undo", "redo", "bulk relabel", "bulk state", "bulk clear"} <= set(done)


def test_eight_people_at_once_lose_nothing(folder: Path, tmp_path: Path) -> None:
    """Each on an image of their own, and two on one image: every answered action is in the journal once."""
    from tests.annotator.fake_model import photo

    for number in range(8):
        photo(folder / f"more{number}.png", seed=number)
    server = Running(folder, f"sqlite:///{tmp_path}/project.db")
    answered: list[str] = []
    problems: list[str] = []

    def work(person: int) -> None:
        image = 4 + person % 7  # the last shares an image with the first
        client = httpx.Client(base_url=server.url, headers={"segue-window": f"p{person}"}, timeout=60)
        client.post(f"/api/images/{image}/open", json={})
        head = client.get(f"/api/images/{image}").json()["head"]
        for step in range(12):
            action = {
                "kind": "prompt",
                "object": f"p{person}s{step // 3}",
                "prompts": [{"type": "click", "x": 5 * step, "y": 50}],
            }
            body = {"key": f"p{person}k{step}", "seen": head, "action": action}
            answer = client.post(f"/api/images/{image}/actions", json=body)
            if answer.status_code == 200:
                answered.append(body["key"])
                head = answer.json()["head"]
            elif answer.status_code != 409:
                problems.append(answer.text)

    threads = [threading.Thread(target=work, args=(person,)) for person in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    server.stop()
    assert problems == []
    assert len(answered) >= 7 * 12
    store = Store(f"sqlite:///{tmp_path}/project.db")
    with store.read() as session:
        saved = [entry.key for entry in journal.entries(session) if entry.kind == "prompt"]
        assert sorted(saved) == sorted(answered)
        assert journal.disagreements(session) == []
