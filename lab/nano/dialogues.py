"""Long dialogues with a nano: what its later clicks gain and spoil, and how clean its first masks are.

    python lab/nano/validation_split.py configs/nano.yaml -o ../runs/validation
    python lab/nano/dialogues.py ../runs/validation --every 6 -o before.json close=0
    python lab/nano/dialogues.py ../runs/validation --every 6 -o after.json --against before.json

Every K-th object gets robot clicks, 20 at most. Written for each: the IoU after each click, the seconds, and of the
first mask and of the truth the holes and islands smaller than a five-hundredth of the object. A failure counts as 20.
`key=value` are settings of the model; `--seed` draws clicks instead of taking centres.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from segue.evaluation.bootstrap import bootstrap_interval

import segue
from segue.core.types import Mask
from segue.data.formats.registry import open_data
from segue.evaluation.robot import ClickTrace, simulate_clicks
from segue.session.session import Session

MOST = 20
SMALL = 0.002  # of the object's area: what is smaller is a pinhole or a speck


def specks(mask: Mask) -> int:
    """How many holes and islands of a mask are smaller than ``SMALL`` of it."""
    count = 0
    for part in (mask, ~mask):
        _, _, stats, _ = cv2.connectedComponentsWithStats(part.astype(np.uint8), connectivity=4)
        count += int((stats[1:, cv2.CC_STAT_AREA] < SMALL * mask.sum()).sum())
    return count


def played(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each object."""
    model = segue.load(options.weights or "nano", config=dict(options.settings), device="cpu")
    number = -1
    for sample in open_data(options.data).samples:
        session, target = None, None
        for annotation in sample.load().annotations:
            number += 1
            if number % options.every != options.offset:
                continue
            image, target = sample.read()
            session = session or Session(model, image)
            while session.prompts:
                session.undo()
            first: list[Mask] = []
            trace = simulate_clicks(
                session,
                annotation.mask,
                target.ignore_mask,
                max_clicks=MOST,
                boundary=False,
                rng=None if options.seed is None else np.random.default_rng([options.seed, number]),
                on_click=lambda _, mask, kept=first: None if kept else kept.append(mask),
            )
            yield row_of(f"{sample.id}#{annotation.id}", trace) | {
                "specks": specks(first[0]),
                "true_specks": specks(annotation.mask),
            }


def row_of(name: str, trace: ClickTrace) -> dict[str, Any]:
    return {
        "id": name,
        "ious": [round(v, 5) for v in trace.ious],
        "seconds": [round(s, 4) for s in trace.click_seconds],
    }


def curves(rows: Sequence[Mapping[str, Any]]) -> np.ndarray[Any, Any]:
    """(n, 20) IoU after each click; a dialogue that ended keeps its last."""
    return np.array([[*r["ious"], *[r["ious"][-1]] * (MOST - len(r["ious"]))] for r in rows])


def clicks_to(curve: np.ndarray[Any, Any], target: float) -> np.ndarray[Any, Any]:
    """(n,) clicks until ``target``."""
    reached = curve >= target
    return np.where(reached.any(1), reached.argmax(1) + 1, MOST)


def shown(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The table's row."""
    curve = curves(rows)
    late = np.array([b - a for r in rows for a, b in zip(r["ious"][4:], r["ious"][5:], strict=False) if a < 0.95])
    return {
        "objects": len(rows),
        **{f"NoC{round(100 * t)}": clicks_to(curve, t).mean() for t in (0.8, 0.85, 0.9)},
        "never 0.90": int((curve.max(1) < 0.9).sum()),
        **{f"mIoU@{k}": curve[:, k - 1].mean() for k in range(1, MOST + 1)},
        "late gain %": 100 * late.mean() if len(late) else 0.0,
        "late lower %": 100 * (late < -0.001).mean() if len(late) else 0.0,
        "specks": float(np.mean([r["specks"] for r in rows])),
        "true specks": float(np.mean([r["true_specks"] for r in rows])),
    }


def compared(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Differences of the clicks needed on the same objects: mean and the 95 % interval over the photos."""
    named = {r["id"]: r for r in before}
    both, found = [(named[r["id"]], r) for r in after if r["id"] in named], {}
    photos = [r["id"].split("#")[0] for _, r in both]
    for target in (0.85, 0.9):
        one, other = (clicks_to(curves([pair[k] for pair in both]), target) for k in (0, 1))
        difference = (other - one).astype(float).tolist()
        interval = bootstrap_interval(difference, groups=photos)
        found[f"NoC{round(100 * target)}"] = [round(v, 2) for v in (float(np.mean(difference)), *interval)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("settings", nargs="*", type=lambda s: (s.split("=")[0], json.loads(s.split("=")[1])))
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--weights", help="a model folder in place of what ships")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--against", type=Path, help="an earlier output on the same objects")
    options = parser.parse_intermixed_args()
    rows = list(played(options))
    options.output.write_text(json.dumps(rows))
    for name, value in shown(rows).items():
        print(f"{name:14s} {value:.4g}")
    if options.against:
        print("against", options.against, compared(json.loads(options.against.read_text()), rows))


if __name__ == "__main__":
    main()
