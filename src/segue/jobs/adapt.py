"""``segue adapt``: train an adapter on one's own masks, and say from held-out images whether it helps."""

from __future__ import annotations

import json
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from segue.adapters.base import Adapter, attach, attached, detach, disabled, save_adapter
from segue.adapters.registry import ADAPTERS
from segue.core.errors import ConfigError, DataError, MissingFile
from segue.core.files import write_bytes
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Text
from segue.data.formats.registry import open_data
from segue.data.io.resume_log import ResumeLog
from segue.data.medical import MEDICAL, read_medical, with_texts
from segue.data.record import Options, Sample
from segue.evaluation.adapt_measure import (
    Played,
    annotate,
    click_figures,
    kept_rows,
    object_figures,
    random_clicks_quality,
)
from segue.evaluation.adapt_report import write_click_report, write_text_report
from segue.evaluation.bootstrap import bootstrap_interval
from segue.jobs.job import job
from segue.models.registry import MODELS
from segue.session.config import ModelSource
from segue.training.adapt_clicks import ClickAdapting, ClickSettings

CHECKPOINT = "checkpoint.pt"
STOP = 0.9  # the quality at which the robot stops
RANDOM_CLICKS = (1, 2, 3, 5)  # positive, and as many negative
PUBLISHED_SPLITS = ("train", "val", "test")


class AdaptConfig(ModelSource):
    """What ``segue adapt`` takes.

    ``data`` is any data set that ``segue evaluate`` reads, a COCO file among its images, an annotator project's
    export, or a medical set under its publisher's layout (``format`` kvasir, isic16, ...). Images are split, not
    objects: a share ``holdout`` is never trained on and gives the report, a sixth of the others ends training early.
    Published splits are kept.
    ``train_images`` and ``test_images`` limit both sides. ``minutes`` bounds training, by the clock or, with
    ``clock`` "cpu", by processor time. ``settings`` go to the adapter.

    Without ``boundary`` the report says nothing of boundaries, and is there much sooner. What the robot did on the
    base is kept in the folder ``kept`` (default: the user's cache) and not done again for the next adapter.

    For models prompted by text, ``name`` says what masks without texts show, and ``seeds`` how many runs are made.

    >>> AdaptConfig.from_fields(data=".", output="out", adapter="detial")
    Traceback (most recent call last):
    segue.core.errors.UnknownName: got adapter 'detial'; expected one of: ... Did you mean 'detail'?
    """

    data: Path
    output: Path
    adapter: str = "detail"
    format: str = "auto"
    name: str = ""
    minutes: float = Field(15.0, gt=0)
    clock: Literal["wall", "cpu"] = "wall"
    holdout: float = Field(0.2, gt=0, lt=1)
    train_images: int | None = Field(None, ge=2)
    test_images: int | None = Field(None, ge=1)
    seed: int = 0
    seeds: int = Field(1, ge=1)
    max_clicks: int = Field(20, ge=1)
    boundary: bool = True
    kept: Path | None = None
    rate: float | None = Field(None, gt=0)
    batch: int | None = Field(None, ge=1)
    epochs: int = Field(1000, ge=1)
    loss: Literal["correct", "published-double-sigmoid"] = "correct"
    settings: dict[str, Any] = Field(default_factory=dict)
    resume: bool = False

    def model_post_init(self, _: Any) -> None:
        ADAPTERS[self.adapter]  # an unknown name is an error here, not after the data is read


@job(AdaptConfig)
def adapt(
    config: AdaptConfig,
    model: Segmenter | None = None,
    watch: Callable[[Mapping[str, float]], None] = lambda row: None,
) -> dict[str, Any]:
    """Train an adapter, write it to ``config.output`` beside a report, return the report's figures.

    The folder holds ``adapter_config.json`` and ``adapter_model.safetensors``, ``report.json``, ``report.md``,
    learning curves and ten overlays. ``helps`` says whether the held-out gain is beyond doubt: the bootstrap
    interval of the difference excludes none. ``model`` replaces the one that ``config`` names; the adapter stays
    attached to it. Raises ``DataError`` for too few images, ``ConfigError`` for an adapter that does not suit.
    """
    base = model if model is not None else config.load()
    train, test = split(read_samples(config), config)
    if Click in base.accepts:
        return _with_clicks(config, base, train, test, watch)
    if Text in base.accepts:
        return _with_texts(config, base, train, test, watch)
    raise ConfigError(f"model {config.model}", "one that clicks or texts prompt", "choose another model")


def read_samples(config: AdaptConfig) -> list[Sample]:
    """The samples that ``config`` names; with ``name``, texts for masks that have none."""
    if config.format in MEDICAL:
        samples = list(read_medical(config.format, config.data))
    elif config.data.suffix == ".json" and config.data.is_file():
        samples = list(open_data(config.data, "coco").samples)
    else:
        samples = list(open_data(config.data, config.format, Options()).samples)
    return [with_texts(s, config.name) for s in samples] if config.name else samples


def split(samples: Sequence[Sample], config: AdaptConfig) -> tuple[list[Sample], list[Sample]]:
    """(training, held-out) samples: by published split where there is one, else at random by ``seed``."""
    groups = {s.group for s in samples}
    order = [samples[i] for i in np.random.default_rng(config.seed).permutation(len(samples))]
    if "test" in groups and groups <= set(PUBLISHED_SPLITS):
        train, test = [s for s in order if s.group != "test"], [s for s in order if s.group == "test"]
    else:
        held = max(1, round(config.holdout * len(order)))
        train, test = order[held:], order[:held]
    train, test = train[: config.train_images], test[: config.test_images]
    if len(train) < 2 or not test:
        raise DataError(
            f"{len(samples)} images, {len(train)} to train on and {len(test)} held out",
            "at least two to train on and one held out",
            "add images, or change holdout",
        )
    return train, test


def validation(train: Sequence[Sample], share: float = 1 / 6, most: int = 24) -> tuple[list[Sample], list[Sample]]:
    """(to learn from, to stop by): published ``val`` samples, or the first sixth, at most ``most`` images."""
    named = [s for s in train if s.group == "val"]
    if named and len(named) < len(train):
        return [s for s in train if s.group != "val"], named[:most]
    held = min(most, max(1, round(share * len(train))))
    return list(train[held:]), list(train[:held])


def _built(config: AdaptConfig, model: Segmenter, seed: int) -> Adapter:
    torch.manual_seed(seed)
    adapter: Adapter = ADAPTERS.load(config.adapter)(model, **config.settings)
    return attach(model, adapter)


def _with_clicks(
    config: AdaptConfig,
    model: Segmenter,
    train: Sequence[Sample],
    test: Sequence[Sample],
    watch: Callable[[Mapping[str, float]], None],
) -> dict[str, Any]:
    with kept_rows(model, config.kept, most=config.max_clicks, stop=STOP, boundary=config.boundary) as rows:
        before, random_before = _judged(config, model, test, rows)
    adapter = _built(config, model, config.seed)
    learn, val = validation(train)
    settings = ClickSettings(
        minutes=config.minutes,
        clock=config.clock,
        look_every=config.minutes / 5,
        rate=config.rate,
        batch=config.batch or ClickSettings.batch,
    )
    run = ClickAdapting(model, adapter, learn, val, settings, config.output / CHECKPOINT, config.seed)
    if config.resume:
        run.resume()
    course = run.run(watch)
    after, random_after = _judged(config, model, test)
    result = {
        **_header(config, model, adapter, learn, val, test),
        "before": click_figures(before, config.max_clicks),
        "after": click_figures(after, config.max_clicks),
        **click_gain(before, after, config.max_clicks),
        **_random(random_before, random_after),
        "steps": course.steps,
        "minutes": course.minutes,
        "processor_minutes": course.processor_minutes,
        "ended": course.ended,
        "curve": course.rows,
    }
    _finish(config, model, adapter, result)
    write_click_report(config.output, result, model, before, after)
    (config.output / CHECKPOINT).unlink(missing_ok=True)
    return result


def _judged(
    config: AdaptConfig, model: Segmenter, test: Sequence[Sample], rows: ResumeLog | None = None
) -> tuple[list[Played], list[float]]:
    """The robot's courses, and with ``boundary`` the mbIoU for clicks at random places."""
    played = annotate(model, test, config.max_clicks, STOP, config.boundary, rows)
    return played, random_clicks_quality(model, test, RANDOM_CLICKS, config.seed, rows) if config.boundary else []


def _random(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    return {"mbiou_random": {"clicks": list(RANDOM_CLICKS), "before": before, "after": after}} if before else {}


def click_gain(before: Sequence[Played], after: Sequence[Played], max_clicks: int) -> dict[str, Any]:
    """Clicks saved per object at an IoU of 0.85, the change of every measure, and their 95 % intervals over objects;
    ``helps`` when the interval of the clicks lies above zero."""
    old, new = ([object_figures(p.course, max_clicks) for p in played] for played in (before, after))
    changes = {k: [b[k] - a[k] for a, b in zip(old, new, strict=True)] for k in old[0]}
    saved = [-change for change in changes["noc85"]]
    low, high = bootstrap_interval(saved)
    return {
        "clicks_saved": float(np.mean(saved)),
        "clicks_saved_each": {p.id: s for p, s in zip(before, saved, strict=True)},
        "clicks_saved_interval": [low, high],
        "change_intervals": {k: list(bootstrap_interval(v)) for k, v in changes.items()},
        "helps": low > 0,
    }


def _with_texts(
    config: AdaptConfig,
    model: Segmenter,
    train: Sequence[Sample],
    test: Sequence[Sample],
    watch: Callable[[Mapping[str, float]], None],
) -> dict[str, Any]:
    from segue.training import adapt_text as words  # brings transformers, which clicks do without

    learn, val = validation(train, most=10**6)
    model.text_training_core()  # a model that texts do not train is refused before anything is read
    said_learn, said_val = words.prepare(model, learn), words.prepare(model, val)
    runs: list[dict[str, Any]] = []
    best, best_gain = None, -math.inf
    settings = words.TextSettings(
        rate=config.rate,
        minutes=config.minutes,
        clock=config.clock,
        epochs=config.epochs,
        form=config.loss,
        batch=config.batch or words.TextSettings.batch,
    )
    kept = _kept_runs(config)
    for seed, checkpoint in kept.items():
        adapter = _built(config, model, seed)
        course = words.TextTrainer(model, adapter, settings, seed).run(said_learn, said_val, watch, checkpoint)
        before, after = words.before_and_after(model, test, seed)
        gains = [a.dice - b.dice for b, a in zip(before, after, strict=True)]
        runs.append(
            {
                "seed": seed,
                "before": words.summary(before),
                "after": words.summary(after),
                "dice_gain_interval": list(bootstrap_interval(gains)),
                "epochs": len(course.rows),
                "best_epoch": course.best_epoch,
                "minutes": course.minutes,
                "curve": course.rows,
            }
        )
        if course.best > best_gain:
            best, best_gain = adapter, course.best
        detach(model, adapter)
    assert best is not None
    attach(model, best)
    result = {
        **_header(config, model, best, learn, val, test),
        **words.over_seeds(runs),
        "helps": all(r["dice_gain_interval"][0] > 0 for r in runs),
        "runs": runs,
    }
    _finish(config, model, best, result)
    write_text_report(config.output, result, model, test)
    for checkpoint in kept.values():
        checkpoint.unlink(missing_ok=True)
    return result


def _kept_runs(config: AdaptConfig) -> dict[int, Path]:
    """Where each seed's run is kept until the report is written; emptied unless ``config`` resumes."""
    first, suffix = config.seed, Path(CHECKPOINT)
    kept = {s: config.output / f"{suffix.stem}-{s}{suffix.suffix}" for s in range(first, first + config.seeds)}
    if config.resume and not any(file.is_file() for file in kept.values()):
        raise MissingFile(f"no checkpoint {kept[first]}", "one left by an earlier run", "leave --resume out")
    if not config.resume:
        for file in kept.values():
            file.unlink(missing_ok=True)
    return kept


def _header(
    config: AdaptConfig,
    model: Segmenter,
    adapter: Adapter,
    learn: Sequence[Sample],
    val: Sequence[Sample],
    test: Sequence[Sample],
) -> dict[str, Any]:
    return {
        "model": config.model,
        "adapter": adapter.kind,
        "data": str(config.data),
        "seed": config.seed,
        "parameters": adapter.trainable,
        "base_parameters": _base_size(model),
        "images": {"train": len(learn), "validation": len(val), "held_out": len(test)},
    }


def _base_size(model: Segmenter) -> int:
    with disabled(model, *attached(model)):
        return sum(p.numel() for p in model.module.parameters())


def _finish(config: AdaptConfig, model: Segmenter, adapter: Adapter, result: dict[str, Any]) -> None:
    result["peak_memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    result["finished"] = time.strftime("%Y-%m-%d %H:%M:%S")
    licence = f"that of its base, {MODELS[model.name].card.licence}" if model.name in MODELS else "unknown"
    save_adapter(model, adapter, config.output, licence=licence, figures=_held_out(result))
    write_bytes(config.output / "report.json", json.dumps(result, indent=1).encode())


def _held_out(result: Mapping[str, Any]) -> dict[str, str]:
    """Every measure on held-out images, before and after, for the adapter's card."""

    def mean(value: Any) -> float:
        return float(value["mean"] if isinstance(value, Mapping) else value)

    sides = [{k: mean(v) for k, v in result[side].items()} for side in ("before", "after")]
    return {f"{k}, held out, base and adapted": f"{sides[0][k]:.4g}, {sides[1][k]:.4g}" for k in sides[0]}
