"""Statistics of a project: what was drawn, what it took, over time and by adapter, and how far two people agree.

Computed from the tables and the journal when asked.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel
from sqlmodel import Session, col, select

from segue.annotator.codec import unpack
from segue.annotator.project import Project
from segue.annotator.store import get_mask, live_labels
from segue.annotator.tables import ImageRow, JournalEntry, MaskRow, ObjectRow
from segue.core.types import Mask

MOST_COMPARED = 500  # objects whose masks of two people are compared, the newest


class EffortRow(BaseModel):
    """Objects of one kind (a class, a day, or a phase) with their pixels, and what they took."""

    name: str
    objects: int = 0
    pixels: int = 0
    clicks: int = 0
    seconds: float = 0.0


class Agreement(BaseModel):
    """How far the last mask of the ``first`` person on an object and that of the ``second`` agree: mean IoU."""

    first: str
    second: str
    objects: int
    iou: float


class StatisticsOut(BaseModel):
    """Objects that are there by class; work by day and by adapter, whatever became of it; and agreement."""

    classes: list[EffortRow]
    days: list[EffortRow]
    phases: list[EffortRow]
    agreement: list[Agreement]


class _Drawn(NamedTuple):
    person: str
    mask_id: int


@dataclass
class _Work:
    """What the journal tells: work by day and by phase, and the masks that people gave an object in turn."""

    days: dict[str, EffortRow] = field(default_factory=dict)
    phases: dict[str, EffortRow] = field(default_factory=dict)
    drawn: dict[str, list[_Drawn]] = field(default_factory=lambda: defaultdict(list))
    phase: str = "no adapter"

    def read(self, entry: JournalEntry) -> None:
        """Take one entry in."""
        if entry.kind == "adapter":
            path = entry.action.get("path")
            self.phase = f"adapter {path}" if path else "no adapter"
        if entry.kind in ("undo", "redo"):
            return  # takes no clicks; the masks that people gave stay given
        person = str(entry.action.get("by") or entry.who)
        for change in entry.changes:
            if change["table"] != "item":
                continue
            was, now = change["was"], change["now"]
            for efforts, name in ((self.days, entry.at[:10]), (self.phases, self.phase)):
                effort = efforts.setdefault(name, EffortRow(name=name))
                effort.objects += bool(was.get("deleted")) and entry.kind in ("prompt", "stroke")
                effort.clicks += now.get("clicks", 0) - was.get("clicks", 0)
                effort.seconds += now.get("seconds", 0.0) - was.get("seconds", 0.0)
            if now.get("mask_id") is not None:
                self.drawn[change["id"]].append(_Drawn(person, now["mask_id"]))


def statistics(project: Project) -> StatisticsOut:
    """The numbers of a project."""
    work = _Work()
    with project.store.read() as db:
        for entry in db.exec(select(JournalEntry).order_by(col(JournalEntry.id)).execution_options(yield_per=500)):
            work.read(entry)
        return StatisticsOut(
            classes=_by_class(db),
            days=list(work.days.values()),
            phases=list(work.phases.values()),
            agreement=_agreement(db, work.drawn),
        )


def as_csv(numbers: StatisticsOut) -> str:
    """The same as one table, a row for each class, day, phase and pair of people.

    >>> cats = EffortRow(name="cat", objects=2)
    >>> as_csv(StatisticsOut(classes=[cats], days=[], phases=[], agreement=[])).splitlines()[1]
    'class,cat,,2,0,0,0.0,'
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["table", "name", "second", "objects", "pixels", "clicks", "seconds", "iou"])
    kinds: Iterable[tuple[str, list[EffortRow]]] = (
        ("class", numbers.classes),
        ("day", numbers.days),
        ("adapter", numbers.phases),
    )
    for kind, efforts in kinds:
        for one in efforts:
            seconds = round(one.seconds, 1)
            table.writerow([kind, _plain(one.name), "", one.objects, one.pixels, one.clicks, seconds, ""])
    for pair in numbers.agreement:
        first, second = _plain(pair.first), _plain(pair.second)
        table.writerow(["agreement", first, second, pair.objects, "", "", "", round(pair.iou, 4)])
    return text.getvalue()


def _plain(name: str) -> str:
    """A name that a spreadsheet takes for no formula."""
    return f"'{name}" if name[:1] in "=+-@\t\r" else name


def _by_class(db: Session) -> list[EffortRow]:
    names: dict[int | None, str] = {label.id: label.name for label in live_labels(db)}
    efforts = {label_id: EffortRow(name=name) for label_id, name in names.items()}
    query = select(ObjectRow, MaskRow.area).join(ImageRow).join(MaskRow, col(ObjectRow.mask_id) == col(MaskRow.id))
    for row, area in db.exec(query.where(~col(ObjectRow.deleted), col(ImageRow.present))):
        effort = efforts.setdefault(row.label_id, EffortRow(name=names.get(row.label_id, "no class")))
        effort.objects += 1
        effort.pixels += area
        effort.clicks += row.clicks
        effort.seconds += row.seconds
    return list(efforts.values())


def _agreement(db: Session, drawn: dict[str, list[_Drawn]]) -> list[Agreement]:
    """Pairs of people in the order in which they worked on an object, over the objects that both gave a mask."""
    pairs: dict[tuple[str, str], list[float]] = defaultdict(list)
    several = [one for one in drawn.items() if len({mask.person for mask in one[1]}) > 1]
    for object_id, masks in several[-MOST_COMPARED:]:
        row = db.get(ObjectRow, object_id)
        image = None if row is None else db.get(ImageRow, row.image_id)
        if image is None or image.size_known is None:
            continue
        last = {mask.person: mask.mask_id for mask in masks}  # in the order of their first mask
        for first, second in itertools.pairwise(last):
            a, b = (unpack(get_mask(db, last[person]), image.size) for person in (first, second))
            pairs[first, second].append(_iou(a, b))
    return [
        Agreement(first=first, second=second, objects=len(ious), iou=sum(ious) / len(ious))
        for (first, second), ious in sorted(pairs.items())
    ]


def _iou(a: Mask, b: Mask) -> float:
    union: Any = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0
