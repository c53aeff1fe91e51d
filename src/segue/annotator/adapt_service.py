"""Adapters trained from accepted masks, and one object found in the other images: both in processes of their own."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlmodel import col, func, select, update

from segue.annotator import exporting
from segue.annotator.codec import Packed
from segue.annotator.polygons import stored_mask
from segue.annotator.project import Project
from segue.annotator.schemas import FindingOut
from segue.annotator.schemas_jobs import AdaptOut, FindOut, Gain, TaskState
from segue.annotator.serializers import finding_out
from segue.annotator.store import ActionMeta, ChangeSet, entry_of, get_mask, image_row, put_mask, setting
from segue.annotator.tables import Finding, ImageRow, ObjectRow, Setting
from segue.core.errors import InputError
from segue.session.config import ModelChoice

NEEDED = 5  # accepted images before adapting is offered: some to learn from, some to stop by, some to measure


class BackgroundTask:
    """A child process that reports in lines of JSON; ``each`` hears them, in a thread of its own."""

    state: TaskState
    command = (sys.executable, "-m", "segue.annotator.task")

    def __init__(self) -> None:
        self.state, self.progress, self.message = "idle", 0.0, ""
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def start(self, request: dict[str, Any], folder: Path, each: Callable[[dict[str, Any]], None]) -> None:
        """Begin. Raises ``InputError`` while it runs."""
        if self.state == "running":
            raise InputError("a second start", "the first one to end", "stop it first")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "request.json"
        file.write_text(json.dumps(request))
        self.state, self.progress, self.message, self._stopped = "running", 0.0, "", False
        with (folder / "log.txt").open("w") as log:
            self._process = subprocess.Popen([*self.command, str(file)], stdout=subprocess.PIPE, stderr=log, text=True)
        threading.Thread(target=self._listen, args=(self._process, each), daemon=True).start()

    def stop(self) -> None:
        """End it now; what it found so far stays."""
        self._stopped = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)

    def end(self) -> None:
        """Tell it to end, from the thread that hears it."""
        self._stopped = True
        if self._process is not None:
            self._process.terminate()

    def _listen(self, process: subprocess.Popen[str], each: Callable[[dict[str, Any]], None]) -> None:
        assert process.stdout is not None
        failure = "it ended without a word; its folder has a log"
        ended: TaskState = "failed"
        for text in process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                line = json.loads(text)
                self.progress = float(line.get("progress", self.progress))
                self.message = str(line.get("message", self.message))
                failure = str(line.get("failed", failure))
                ended = "done" if line.get("done") else ended
                each(line)
        process.wait()
        self.state = "idle" if self._stopped else ended
        if self.state == "failed":
            self.message = failure


class AdaptService:
    """Adapting and finding for one project."""

    def __init__(self, project: Project) -> None:
        self.project, self.adapting, self.finding = project, BackgroundTask(), BackgroundTask()
        self.home = project.config.home
        with project.store.read() as db:
            used = setting(db, "adapter", None)
        if used and Path(used).is_dir():
            self._load(used)

    def close(self) -> None:
        """End both tasks."""
        self.adapting.stop()
        self.finding.stop()

    def adapt_state(self) -> AdaptOut:
        """How training goes, and what the newest adapter gained."""
        with self.project.store.read() as db:
            images = select(ImageRow.id).where(ImageRow.state == "accepted", col(ImageRow.objects) > 0)
            counted = db.exec(select(func.count()).select_from(images.subquery())).one()
            objects = select(func.count()).where(col(ObjectRow.image_id).in_(images), ~col(ObjectRow.deleted))
            accepted = db.exec(objects).one()
        newest = self._newest()
        return AdaptOut(
            state=self.adapting.state,
            progress=self.adapting.progress,
            message=self.adapting.message,
            accepted=accepted,
            images=counted,
            needed=NEEDED,
            used=self.project.adapter is not None,
            report=None if newest is None else _gain(newest),
        )

    def adapt(self, minutes: float) -> None:
        """Train an adapter from the accepted images in the background. Raises ``InputError`` for too few."""
        state = self.adapt_state()
        if state.images < NEEDED:
            raise InputError(f"{state.images} accepted images", f"at least {NEEDED}", "accept more images first")
        number = 1 + max((int(p.name) for p in self._adapters()), default=0)
        folder = self.home / "adapters" / f"{number:04d}"
        exporting.export(self.project, "png", folder / "data", images=True)
        base = {name: value for name, value in model_choice(self.project).items() if name != "adapter"}
        config = {
            "data": str(folder / "data"),
            "output": str(folder / "adapter"),
            "minutes": minutes,
            "format": "folder",
        }
        self.adapting.start({"kind": "adapt", "config": base | config}, folder, lambda line: None)

    def use(self, who: str, key: str, *, on: bool) -> None:
        """Answer with the newest adapter from now on, or with the model as it came."""
        newest = self._newest()
        if on and newest is None:
            raise InputError("no adapter", "a trained one", "train it first")
        path = str(newest) if on else None
        with self.project.store.write() as db:
            if entry_of(db, key, None) is not None:
                return
            row = db.get(Setting, "adapter") or Setting(key="adapter", value=None)
            db.add(row)
            changes = ChangeSet(db)
            changes.change(row, value=path)
            changes.record(ActionMeta(key, who, "adapter", {"path": path}))
        self._load(path)

    def find_state(self) -> FindOut:
        """How the search goes, and how many proposals wait."""
        with self.project.store.read() as db:
            waiting = db.exec(select(func.count()).where(Finding.state == "open")).one()
        task = self.finding
        return FindOut(state=task.state, progress=task.progress, message=task.message, open=waiting)

    def find(self, image_id: int, object_id: str, *, every: bool = False) -> None:
        """Look for an object in every image that is not finished, with ``every`` for all of its kind, in its own image
        too; earlier proposals give way."""
        project = self.project
        with project.store.write() as db:
            row = image_row(db, image_id)
            stored_mask(db, image_id, object_id)
            example = db.get(ObjectRow, object_id)
            assert example is not None
            assert example.mask_id is not None
            packed, label = get_mask(db, example.mask_id), example.label_id
            others = select(ImageRow.id, ImageRow.path).where(
                col(ImageRow.present),
                col(ImageRow.state).in_(("new", "started")),
                *(() if every else (col(ImageRow.id) != image_id,)),
            )
            images = [(i, str(project.library.folder / path)) for i, path in db.exec(others).all()]
            if not images:
                raise InputError("a search", "other images that are not finished", "open one again, or add images")
            reference = str(project.library.locate(row.path))
            db.execute(update(Finding).where(col(Finding.state) == "open").values(state="replaced"))
        data = base64.b64encode(packed.data).decode()
        request = {
            "kind": "find",
            "model": model_choice(project),
            "reference": reference,
            "mask": {"box": packed.box, "data": data},
            "images": images,
            "every": every,
            "max_pixels": project.config.max_pixels,
        }
        self.finding.start(request, self.home / "find", lambda line: self._keep(line, label))

    def next_finding(self) -> FindingOut | None:
        """The proposal that waits longest."""
        with self.project.store.read() as db:
            query = select(Finding, ImageRow).where(Finding.state == "open", col(Finding.image_id) == ImageRow.id)
            row = db.exec(query.order_by(col(Finding.image_id)).limit(1)).first()
            return None if row is None else finding_out(row[0], row[1].path, {})

    def _keep(self, line: dict[str, Any], label: int | None) -> None:
        if "found" not in line:
            return
        x0, y0, x1, y1 = line["box"]
        packed = Packed((x0, y0, x1, y1), line["area"], base64.b64decode(line["data"]))
        with self.project.store.write() as db:
            mask_id = put_mask(db, packed)
            db.add(Finding(image_id=line["found"], label_id=label, mask_id=mask_id, score=line["score"]))

    def _load(self, adapter: str | None) -> None:
        config = self.project.config.model_copy(update={"adapter": None if adapter is None else Path(adapter)})
        self.project.adapter = adapter
        self.project.worker.replace(config.load)

    def _adapters(self) -> list[Path]:
        folder = self.home / "adapters"
        return sorted(p for p in folder.iterdir() if p.name.isdecimal()) if folder.is_dir() else []

    def _newest(self) -> Path | None:
        done = [p / "adapter" for p in self._adapters() if (p / "adapter" / "report.json").is_file()]
        return done[-1] if done else None


def model_choice(project: Project) -> dict[str, Any]:
    """The model in use, as a child process loads it."""
    values = {name: getattr(project.config, name) for name in ModelChoice.model_fields}
    values["adapter"] = project.adapter
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _gain(adapter: Path) -> Gain:
    report = json.loads((adapter / "report.json").read_text())
    low, high = report["clicks_saved_interval"]
    before, after = report["before"]["noc85"], report["after"]["noc85"]
    return Gain(before=before, after=after, low=low, high=high, helps=report["helps"], minutes=report["minutes"])
