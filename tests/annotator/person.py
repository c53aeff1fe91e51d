"""Somebody who works on one image, through the API."""

from __future__ import annotations

import base64
import itertools
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient

from segue.annotator.codec import Packed, pack, unpack

RED, BLUE = (30, 40), (100, 90)  # inside the rectangles of fake_model.photo


def mask_of(item: dict[str, Any], size: tuple[int, int] = (120, 160)) -> np.ndarray:
    """(H, W) bool of an object in an answer."""
    mask = item["mask"]
    return unpack(Packed(tuple(mask["box"]), mask["area"], base64.b64decode(mask["data"])), size)


def runs(mask: np.ndarray) -> dict[str, Any]:
    """A mask as the page's brush sends it."""
    packed = pack(mask)
    return {"box": packed.box, "data": base64.b64encode(packed.data).decode()}


def square(x: int, y: int, side: int = 10) -> np.ndarray:
    """(120, 160) bool with a square."""
    mask = np.zeros((120, 160), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def propose(db: Path, *images: int) -> None:
    """Found masks that wait for a decision."""
    packed = pack(square(50, 50, 20))
    with sqlite3.connect(db) as disk:
        for image in images:
            row = disk.execute(
                "INSERT INTO mask (x0, y0, x1, y1, area, data) VALUES (?, ?, ?, ?, ?, ?)",
                (*packed.box, packed.area, packed.data),
            )
            disk.execute(
                "INSERT INTO finding (image_id, label_id, mask_id, score, state) VALUES (?, 1, ?, 0.7, 'open')",
                (image, row.lastrowid),
            )


class Person:
    """One window of the page, on one image, through the API."""

    keys = itertools.count()

    def __init__(self, client: TestClient, image: int = 1, window: str = "w1") -> None:
        self.client, self.image = client, image
        self.headers = {"segue-window": window, "segue-name": window}
        self.head = 0

    def open(self, **claim: Any) -> dict[str, Any]:
        answer = self.client.post(f"/api/images/{self.image}/open", json=claim, headers=self.headers)
        assert answer.status_code == 200, answer.text
        self.head = answer.json()["head"]
        return answer.json()

    def send(self, key: str | None = None, seconds: float = 0.0, **action: Any) -> Any:
        """The raw answer; what was seen moves on when it succeeded."""
        body = {"key": key or f"k{next(self.keys)}", "seen": self.head, "seconds": seconds, "action": action}
        answer = self.client.post(f"/api/images/{self.image}/actions", json=body, headers=self.headers)
        if answer.status_code == 200:
            self.head = answer.json()["head"]
        return answer

    def act(self, **action: Any) -> dict[str, Any]:
        answer = self.send(**action)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def click(self, item: str, x: float, y: float, positive: bool = True, **more: Any) -> dict[str, Any]:
        prompt = {"type": "click", "x": x, "y": y, "positive": positive}
        return self.act(kind="prompt", object=item, prompts=[prompt], **more)

    def look(self) -> dict[str, Any]:
        return self.client.get(f"/api/images/{self.image}", headers=self.headers).json()
