"""How ``segue adapt`` trains by clicks: one run stopped by a sixth of the images, or where those are few, by all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch

from segue.adapters.base import Adapter, attach, detach
from segue.adapters.registry import ADAPTERS
from segue.core.errors import MissingFile
from segue.core.segmenter import Segmenter
from segue.data.io.resume_log import ResumeLog, job_digest
from segue.data.record import Sample
from segue.evaluation import adapt_clicks as robot
from segue.evaluation.adapt_verdict import FEWEST
from segue.metrics.interaction import clicks_needed
from segue.training.click_run import ClickSettings, adapter_run
from segue.training.config import AdaptConfig
from segue.training.cross_validation import FOLDS, FoldValidation, choose_share, folds
from segue.training.engine import Engine, Validation
from segue.training.published_run import PublishedSettings, published_run

CHECKPOINT, FOLD_LOG = "checkpoint.pt", "folds.jsonl"
FOLD_CHECKPOINTS = tuple(f"checkpoint-fold-{k}.pt" for k in range(FOLDS))
TARGET = 0.85  # validation counts clicks to this IoU
MOST = 24  # images that validate
LEFTOVERS = (CHECKPOINT, *FOLD_CHECKPOINTS, FOLD_LOG)  # of an unfinished run

OnRow: TypeAlias = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class Trained:
    """A trained ``adapter``, attached; how many images it learned from and was stopped by; the course of it."""

    adapter: Adapter
    learned: int
    validated: int
    steps: int
    wall: float
    processor: float
    ended: str
    improving: bool
    curve: tuple[dict[str, float], ...]
    cross_validated: bool = False


def validation_split(
    train: Sequence[Sample], share: float = 1 / 6, most: int = MOST
) -> tuple[list[Sample], list[Sample]]:
    """(to learn from, to stop by): published ``val`` samples, or the first sixth, at most ``most`` images."""
    named = [s for s in train if s.group == "val"]
    if named and len(named) < len(train):
        return [s for s in train if s.group != "val"], named[:most]
    held = min(most, max(1, round(share * len(train))))
    return list(train[held:]), list(train[:held])


def fresh_adapter(config: AdaptConfig, model: Segmenter, seed: int) -> Adapter:
    """The adapter that ``config`` names, attached as it is before training."""
    torch.manual_seed(seed)
    published = {"identity": False} if config.schedule == "published" and config.adapter == "detail" else {}
    adapter: Adapter = ADAPTERS.load(config.adapter)(model, **{**published, **config.settings})
    return attach(model, adapter)


def train_by_clicks(config: AdaptConfig, model: Segmenter, train: Sequence[Sample], on_row: OnRow) -> Trained:
    """Train on the robot's clicks. Where a sixth of ``train`` is too few to tell anything (``FEWEST``) and no images
    are published for validation, cross-validation says how long; the published schedule says it by itself."""
    given: dict[str, Any] = {
        name: getattr(config, name) for name in ("minutes", "epochs") if name in config.model_fields_set
    }
    same: dict[str, Any] = {"clock": config.clock, "steps": config.steps, **given}
    learn, val = validation_split(train)
    if config.schedule == "published":
        own = {name: value for name in ("lr", "batch") if (value := getattr(config, name)) is not None}
        return _stopped_by(config, model, learn, val, PublishedSettings(**same, **own), on_row)
    settings = ClickSettings(**same, lr=config.lr, batch=config.batch or ClickSettings.batch)
    if len(val) >= FEWEST or len(train) < FOLDS or any(s.group == "val" for s in val):
        return _stopped_by(config, model, learn, val, settings, on_row)
    return _cross_validated(config, model, train, settings, on_row)


def _validated(model: Segmenter, samples: Sequence[Sample], most: int) -> Validation:
    ious = [o.trace.ious for o in robot.annotate(model, samples, most, TARGET, boundary=False)]
    clicks = [float(clicks_needed(curve, TARGET, most)) for curve in ious]
    row = {"noc": float(np.mean(clicks)), "miou1": float(np.mean([curve[0] for curve in ious]))}
    return Validation(row, tuple(n - curve[0] for n, curve in zip(clicks, ious, strict=True)))


def _run(run: Engine, resume: bool, on_row: OnRow) -> str:
    if resume:
        run.resume()
    return run.run(on_row)


def _stopped_by(
    config: AdaptConfig,
    model: Segmenter,
    learn: Sequence[Sample],
    val: Sequence[Sample],
    settings: ClickSettings | PublishedSettings,
    on_row: OnRow,
) -> Trained:
    """One run, stopped by the robot's clicks on ``val``, or by the published schedule alone."""

    def validate(engine: Engine) -> Validation:
        with engine.averaged():
            return _validated(model, val, config.max_clicks)

    adapter = fresh_adapter(config, model, config.seed)
    where = validate, config.output / CHECKPOINT, config.seed
    if isinstance(settings, PublishedSettings):
        run = published_run(model, adapter, learn, settings, *where)
    else:
        run = adapter_run(model, adapter, learn, settings, *where)
    ended = _run(run, config.resume, on_row)
    run.load_best()
    clock = run.clock
    return Trained(
        adapter,
        len(learn),
        len(val),
        run.steps,
        clock.wall,
        clock.processor,
        ended,
        run.improving,
        tuple(run.rows),
    )


def _cross_validated(
    config: AdaptConfig, model: Segmenter, train: Sequence[Sample], settings: ClickSettings, on_row: OnRow
) -> Trained:
    """Runs that each leave a part of ``train`` out say how long to train; a last one learns from all of it. Each takes
    an equal part of the minutes."""
    part = replace(settings, minutes=settings.minutes / (FOLDS + 1), patience=10**9)
    if config.resume and not (config.output / FOLD_CHECKPOINTS[0]).is_file():
        raise MissingFile(
            f"no checkpoint {config.output / FOLD_CHECKPOINTS[0]}", "one left by an earlier run", "leave --resume out"
        )
    runs, spent = list[list[FoldValidation]](), list[tuple[float, float]]()
    job = job_digest({"adapt": config.model_dump(mode="json", exclude={"resume", "force"})})
    parts = folds(train, MOST)
    with ResumeLog(config.output / FOLD_LOG, job) as log:
        for fold, (learn, val) in enumerate(parts):
            path = config.output / FOLD_CHECKPOINTS[fold]
            validate = _fold_validation(model, val, config.max_clicks, log, fold)
            adapter = fresh_adapter(config, model, config.seed)
            engine = adapter_run(model, adapter, learn, part, validate, path, config.seed)
            _run(engine, config.resume and path.is_file(), _after(fold, part.minutes, on_row))
            detach(model, adapter)
            spent.append((engine.clock.wall, engine.clock.processor))  # now: clocks go on
            rows = [log[f"{fold} {n}"] for n in range(len(engine.rows))]
            runs.append([FoldValidation(r["share"], tuple(r["costs"]), r["row"]) for r in rows])
    choice = choose_share(runs, settings.validations)
    adapter = fresh_adapter(config, model, config.seed)
    steps, ended = 0, f"{FOLDS}-fold cross-validation found nothing better than the base"
    if choice.share:
        most = None if part.steps is None else math.ceil(choice.share * part.steps)
        epochs = None if part.epochs is None else choice.share * part.epochs
        chosen = replace(part, minutes=choice.share * part.minutes, steps=most, epochs=epochs)
        path = config.output / CHECKPOINT
        last = adapter_run(model, adapter, train, chosen, lambda _: Validation({}), path, config.seed)
        ended = _run(last, config.resume and path.is_file(), _after(FOLDS, part.minutes, on_row))
        ended += f", the {100 * choice.share:.0f} % of its part that {FOLDS}-fold cross-validation chose"
        adapter.load_state_dict(last.averaged_state())
        steps = last.steps
        spent.append((last.clock.wall, last.clock.processor))
    each = part.minutes / (len(choice.rows) - 1)
    return Trained(
        adapter,
        len(train),
        sum(len(val) for _, val in parts),
        steps,
        sum(wall for wall, _ in spent),
        sum(processor for _, processor in spent),
        ended,
        choice.improving,
        tuple({"minutes": each * k, **row} for k, row in enumerate(choice.rows)),
        cross_validated=True,
    )


def _after(runs: int, minutes: float, on_row: OnRow) -> OnRow:
    """``on_row`` with the minutes of the ``runs`` before, each of which had so many ``minutes``, as this one has."""
    return lambda row: on_row({**row, "minutes": runs * minutes + min(minutes, row["minutes"])})


def _fold_validation(
    model: Segmenter, val: Sequence[Sample], most: int, log: ResumeLog, fold: int
) -> Callable[[Engine], Validation]:
    """Validates by the images that a fold leaves out and notes every object's cost."""

    def validate(engine: Engine) -> Validation:
        with engine.averaged():
            found = _validated(model, val, most)
        share = engine.budget.share(engine.position)
        log.add(f"{fold} {len(engine.rows)}", {"share": share, "costs": found.costs, "row": dict(found.row)})
        return found

    return validate
