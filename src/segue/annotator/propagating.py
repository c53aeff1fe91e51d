"""Objects of a clip carried from key frames to the other frames, in a process of its own."""

from __future__ import annotations

import base64
import sys
from typing import Any

from sqlmodel import Session, col, select

from segue.annotator import schemas, schemas_actions
from segue.annotator.adapt_service import BackgroundTask, model_choice
from segue.annotator.clips import live_keys, propagated
from segue.annotator.codec import Packed
from segue.annotator.project import Project
from segue.annotator.propagation import Key, Span, plan
from segue.annotator.schemas_jobs import KeyOut, TimelineOut, TrackOut
from segue.annotator.store import get_masks, image_row, live_objects, put_mask
from segue.annotator.tables import FrameMask, ImageRow, Run, RunMask
from segue.core.errors import InputError


class PropagateTask(BackgroundTask):
    """It imports no training, so that it begins at once."""

    command = (sys.executable, "-m", "segue.annotator.propagate_task")


class PropagateService:
    """Propagation for one project: one run at a time, each frame saved as it comes."""

    def __init__(self, project: Project) -> None:
        self.project, self.task = project, PropagateTask()
        self.image: int | None = None
        self.broken: list[int] = []
        project.actions.propagating = self

    def close(self) -> None:
        """End the run; the frames that it reached stay."""
        self.task.stop()

    def check(self, db: Session, row: ImageRow, action: schemas_actions.Propagate, frame: int | None) -> None:
        """Raise ``InputError`` where there is nothing to propagate, or while something is."""
        if frame is None:
            raise InputError("propagation in a single image", "a clip")
        if self.task.state == "running":
            raise InputError("a second propagation", "the first one to end", "stop it first")
        if not self._planned(db, row, action, frame)[1]:
            raise InputError(
                "propagation without a frame to fill", "an object with a key frame, and frames after or before it"
            )

    def begin(self, row: ImageRow, action: schemas_actions.Propagate, frame: int, run: int) -> None:
        """Start the process for a run that the journal has."""
        project = self.project
        with project.store.read() as db:
            keys, spans, labels = self._planned(db, row, action, frame)
            masks = get_masks(db, [key.mask_id for key in keys])
        wanted = {span.label for span in spans}
        request = {
            "kind": "propagate",
            "model": model_choice(project),
            "clip": str(project.library.locate(row.path)),
            "axis": row.axis,
            "max_pixels": project.config.max_pixels,
            "keys": [
                {"label": labels[key.object_id], "frame": key.frame, **_sent(masks[key.mask_id])}
                for key in keys
                if key.mark == "mask" and key.mask_id is not None and labels[key.object_id] in wanted
            ],
            "spans": [[span.label, span.start, span.end, span.lost] for span in spans],
        }
        names = {label: object_id for object_id, label in labels.items()}
        self.image, self.broken = row.id, []
        self.task.start(request, project.config.home / "propagate", lambda line: self._keep(line, run, names))

    def timeline(self, image_id: int) -> TimelineOut:
        """Key frames, propagated frames and their scores, by object."""
        with self.project.store.read() as db:
            image_row(db, image_id)
            objects = live_objects(db, image_id)
            keys, runs = live_keys(db, image_id), propagated(db, image_id)
        mine = self.image == image_id
        return TimelineOut(
            objects=[
                TrackOut(
                    id=one.id,
                    keys=[KeyOut(frame=key.frame, mark=key.mark) for key in keys if key.object_id == one.id],
                    frames=sorted(own := runs.get(one.id, {})),
                    scores=[round(own[frame][1], 3) for frame in sorted(own)],
                    seen=[own[frame][0] is not None for frame in sorted(own)],
                )
                for one in objects
            ],
            state=self.task.state if mine else "idle",
            progress=self.task.progress if mine else 0.0,
            message=self.task.message if mine else "",
            broken=self.broken if mine else [],
        )

    def _planned(
        self, db: Session, row: ImageRow, action: schemas_actions.Propagate, frame: int
    ) -> tuple[list[FrameMask], list[Span], dict[str, int]]:
        """Key frames, spans, and the number that stands for each object."""
        assert row.id is not None
        labels = {one.id: number for number, one in enumerate(live_objects(db, row.id), 1) if not one.locked}
        chosen = labels.keys() & set(action.objects) if action.objects else labels.keys()
        if action.direction == "between" and not action.objects:  # only what was corrected here
            here = {key.object_id for key in live_keys(db, row.id) if key.frame == frame}
            chosen = labels.keys() & here
        keys = [key for key in live_keys(db, row.id) if key.object_id in chosen]
        wanted = [Key(labels[key.object_id], key.frame, key.mark) for key in keys]
        return keys, plan(wanted, row.frames, frame, action.direction), labels

    def _keep(self, line: dict[str, Any], run: int, names: dict[int, str]) -> None:
        if "broken" in line:
            self.broken.append(line["broken"])
        if "frame" not in line:
            return
        with self.project.store.write() as db:
            row = db.exec(select(Run).where(col(Run.id) == run)).one()
            if row.deleted:  # undone meanwhile
                self.task.end()
                return
            for label, one in line["objects"].items():
                mask_id = None
                if one["area"]:
                    x0, y0, x1, y1 = one["box"]
                    mask_id = put_mask(db, Packed((x0, y0, x1, y1), one["area"], base64.b64decode(one["data"])))
                seen = {"frame": line["frame"], "mask_id": mask_id, "score": one["score"]}
                db.add(RunMask(run_id=run, object_id=names[int(label)], **seen))


def _sent(packed: Packed) -> dict[str, Any]:
    return {"box": packed.box, "area": packed.area, "data": packed.text}


def status_of(service: PropagateService) -> schemas.BackgroundOut:
    """The run for the status line."""
    task = service.task
    return schemas.BackgroundOut(kind="propagate", state=task.state, progress=task.progress, message=task.message)
