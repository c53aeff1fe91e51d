"""kill -9 between any two actions, and in the middle of one: what was shown as saved is there."""

from __future__ import annotations

import itertools
import random
import threading
from pathlib import Path
from typing import Any

import httpx

from segue.annotator import journal
from segue.annotator.store import Store
from tests.annotator.person import runs, square
from tests.annotator.running import Running

ACTIONS, KILLS = 300, 25


class Hand:
    """Acts through real HTTP, and sends a request again with the same key when the server went away."""

    def __init__(self, server: Running) -> None:
        self.server, self.keys, self.heads = server, itertools.count(), {1: 0, 2: 0, 3: 0}
        self.shown: dict[int, Any] = {1: [], 2: [], 3: []}
        self.client = httpx.Client(timeout=30)

    def get(self, path: str) -> Any:
        return self.client.get(f"{self.server.url}/api/{path}").json()

    def send(self, image: int, action: dict[str, Any], key: str) -> bool:
        body = {"key": key, "seen": self.heads[image], "action": action}
        try:
            answer = self.client.post(f"{self.server.url}/api/images/{image}/actions", json=body)
        except httpx.TransportError:
            return False
        if answer.status_code == 200:
            self.heads[image] = answer.json()["head"]
        else:
            assert answer.status_code in (404, 422), answer.text
        return True


def script(dice: random.Random, step: int, objects: list[str]) -> dict[str, Any]:
    item = dice.choice(objects) if objects and dice.random() < 0.8 else f"n{step}"
    x, y = dice.randrange(150), dice.randrange(110)
    return dice.choice(
        [
            {
                "kind": "prompt",
                "object": item,
                "prompts": [{"type": "click", "x": x, "y": y, "positive": step % 4 > 0}],
            },
            {"kind": "prompt", "object": f"m{step}", "prompts": [{"type": "click", "x": x, "y": y}]},
            {"kind": "stroke", "object": item, "pixels": runs(square(x, y)), "erase": False},
            {"kind": "edit", "object": item, "hidden": bool(step % 2)},
            {"kind": "remove", "object": item},
            {"kind": "shape", "object": item, "how": dice.choice(["grow", "smooth", "fill-holes"]), "amount": 3},
            {"kind": "reshape", "object": item, "tolerance": 1, "ring": 0, "points": [x, y, x + 9, y, x, y + 9]},
            {"kind": "split", "object": item, "parts": f"p{step}"},
            {"kind": "combine", "object": item, "others": objects[:1], "how": dice.choice(["merge", "subtract"])},
            {"kind": "relabel", "label": 1},
            {"kind": "review", "verdict": dice.choice(["approved", "returned"])},
            {"kind": "comment", "comment": f"c{step}", "text": "look", "x": x, "y": y},
            {"kind": "undo"},
            {"kind": "redo"},
            {"kind": "state", "state": "accepted"},
        ]
    )


def objects_of(hand: Hand, image: int) -> list[dict[str, Any]]:
    return hand.get(f"images/{image}")["objects"]


def test_nothing_that_was_shown_as_saved_is_lost(folder: Path, tmp_path: Path) -> None:
    dice = random.Random(11)
    db = f"sqlite:///{tmp_path}/project.db"
    hand = Hand(Running(folder, db))
    kills = set(dice.sample(range(10, ACTIONS), KILLS))
    for step in range(ACTIONS):
        image = 1 + step % 3
        before = objects_of(hand, image)
        action = script(dice, step, [item["id"] for item in before])
        if step in kills:
            key = f"k{step}"
            timer = threading.Timer(dice.choice([0.0, 0.002, 0.006, 0.012, 0.03]), hand.server.kill)
            timer.start()
            heard = hand.send(image, action, key)
            timer.join()
            hand.server = Running(folder, db, hand.server.port)
            if not heard:  # the page sends it again; whether it had been saved or not, it counts once
                assert hand.send(image, action, key)
        else:
            assert hand.send(image, action, f"k{step}")
        hand.shown[image] = objects_of(hand, image)
        if step in kills:
            assert all(objects_of(hand, other) == hand.shown[other] for other in hand.shown)
    hand.server.kill()
    store = Store(db)
    with store.read() as session:
        assert journal.disagreements(session) == []
        keys = [entry.key for entry in journal.entries(session)]
        assert len(keys) == len(set(keys)) > ACTIONS / 2
    hand.server = Running(folder, db)
    assert {image: objects_of(hand, image) for image in hand.shown} == hand.shown
    hand.server.stop()


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
