"""``segue adapt``: train an adapter on one's own masks, and say from held-out images whether it helps."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field

from segue.adapters.base import Adapter, attach, attached, detach, disabled, save_adapter
from segue.adapters.registry import ADAPTERS
from segue.core.errors import ConfigError, DataError, MissingFile
from segue.core.files import write_bytes
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Text
from segue.data.formats.registry import open_data
from segue.data.medical import MEDICAL, read_medical, with_texts
from segue.data.record import Options, Sample
from segue.evaluation.adapt_result import (
    AdaptResult,
    ClickAdaptResult,
    ImageCounts,
    RandomClicks,
    TextAdaptResult,
    TextRun,
)
from segue.evaluation.adapt_verdict import Verdict
from segue.jobs.job import job
from segue.jobs.output import claim_output
from segue.metrics.interaction import clicks_needed
from segue.models.registry import MODELS
from segue.session.config import ModelSource

CHECKPOINT = "checkpoint.pt"
STOP = 0.9  # the quality at which the robot stops
TARGET, VALIDATION_CLICKS = 0.85, 20  # validation counts clicks to this IoU, and at most so many
RANDOM_CLICKS = (1, 2, 3, 5)  # positive, and as many negative
PUBLISHED_SPLITS = ("train", "val", "test")
WORKS = (CHECKPOINT, "adapter_config.json", "adapter_model.safetensors", "report.json")  # never overwritten unasked

OnRow: TypeAlias = Callable[[Mapping[str, float]], None]


class AdaptConfig(ModelSource):
    """What ``segue adapt`` takes.

    Images are split, not objects: a share ``holdout`` is never trained on and gives the report, a sixth of the others
    ends training early. Published splits are kept.

    >>> AdaptConfig.from_fields(data=".", output="out", adapter="detial")
    Traceback (most recent call last):
    segue.core.errors.UnknownName: got adapter 'detial'; expected one of: ... Did you mean 'detail'?
    """

    data: Annotated[Path, Field(description="Images with masks: any format, a COCO file, an annotator's export.")]
    output: Annotated[Path, Field(description="Folder of the adapter and its report.")]
    adapter: Annotated[str, Field(description="detail, lora, head, full, prompt; for texts: dense, shallow, side.")] = (
        "detail"
    )
    format: Annotated[str, Field(description="Format of the data set, 'auto' recognises it; kvasir, isic16 ...")] = (
        "auto"
    )
    name: Annotated[str, Field(description="What masks without texts show: 'foot ulcer'.")] = ""
    minutes: Annotated[float, Field(gt=0, description="Training time at most.")] = 15.0
    clock: Annotated[Literal["wall", "cpu"], Field(description="What counts as time: wall or processor.")] = "wall"
    steps: Annotated[int | None, Field(ge=1, description="Steps at most, for models prompted by clicks.")] = None
    epochs: Annotated[int, Field(ge=1, description="Epochs at most, for models prompted by texts.")] = 1000
    holdout: Annotated[float, Field(gt=0, lt=1, description="Share of images kept for the report.")] = 0.2
    train_images: Annotated[int | None, Field(ge=2, description="Images to train on at most.")] = None
    test_images: Annotated[int | None, Field(ge=1, description="Held-out images at most.")] = None
    seed: Annotated[int, Field(description="Of the split and of training.")] = 0
    seeds: Annotated[int, Field(ge=1, description="Runs, for models prompted by texts; the paper has 3.")] = 1
    max_clicks: Annotated[int, Field(ge=1, description="Clicks an object at most, in the report.")] = 20
    boundary: Annotated[bool, Field(description="Boundary measures in the report; they take long.")] = True
    cache_dir: Annotated[
        Path | None, Field(description="Where the base's clicks are kept for the next adapter; default: your cache.")
    ] = None
    lr: Annotated[float | None, Field(gt=0, description="Learning rate; default: the adapter's own.")] = None
    batch: Annotated[int | None, Field(ge=1, description="Views or images a step.")] = None
    loss: Annotated[
        Literal["correct", "published-double-sigmoid"],
        Field(description="For texts: correct, or published-double-sigmoid to reproduce the paper."),
    ] = "correct"
    settings: Annotated[
        dict[str, Any], Field(description="A setting of the adapter, such as width=32; repeatable.")
    ] = Field(default_factory=dict)
    resume: Annotated[bool, Field(description="Go on from an interrupted run in the output folder.")] = False
    force: Annotated[bool, Field(description="Replace an earlier adapter in the output folder.")] = False

    def model_post_init(self, _: Any) -> None:
        ADAPTERS[self.adapter]  # an unknown name is an error here, not after the data is read


@job(AdaptConfig)
def adapt(config: AdaptConfig, model: Segmenter | None = None, on_row: OnRow = lambda row: None) -> AdaptResult:
    """Train an adapter, write it to ``config.output`` beside a report, return the report's figures.

    The folder holds ``adapter_config.json`` and ``adapter_model.safetensors``, ``report.json``, ``report.md``,
    learning curves and ten overlays. The verdict is "gain proven" where the bootstrap interval of the held-out
    difference excludes none. ``model`` replaces the one that ``config`` names; the adapter stays attached to it. Raises
    ``DataError`` for too few images, ``ConfigError`` for an adapter that does not suit and for an output that holds an
    earlier one which is neither resumed nor replaced (``force``).
    """
    works = (*WORKS, *(path.name for path in text_checkpoints(config).values()))
    claim_output(config.output, works, resume=config.resume, force=config.force)
    base = model if model is not None else config.load()
    train, test = split(read_samples(config), config)
    if Click in base.accepts:
        return _with_clicks(config, base, train, test, on_row)
    if Text in base.accepts:
        return _with_texts(config, base, train, test, on_row)
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


def validation_split(
    train: Sequence[Sample], share: float = 1 / 6, most: int = 24
) -> tuple[list[Sample], list[Sample]]:
    """(to learn from, to stop by): published ``val`` samples, or the first sixth, at most ``most`` images."""
    named = [s for s in train if s.group == "val"]
    if named and len(named) < len(train):
        return [s for s in train if s.group != "val"], named[:most]
    held = min(most, max(1, round(share * len(train))))
    return list(train[held:]), list(train[:held])


def text_checkpoints(config: AdaptConfig) -> dict[int, Path]:
    """Where each seed's run by texts is kept until the report is written."""
    return {s: config.output / f"checkpoint-{s}.pt" for s in range(config.seed, config.seed + config.seeds)}


def _attached(config: AdaptConfig, model: Segmenter, seed: int) -> Adapter:
    import torch  # training needs it, this module's configuration does not

    torch.manual_seed(seed)
    adapter: Adapter = ADAPTERS.load(config.adapter)(model, **config.settings)
    return attach(model, adapter)


def _with_clicks(
    config: AdaptConfig, model: Segmenter, train: Sequence[Sample], test: Sequence[Sample], on_row: OnRow
) -> ClickAdaptResult:
    from segue.evaluation import adapt_clicks as robot
    from segue.evaluation.adapt_report import write_click_report
    from segue.training.click_run import ClickSettings, adapter_run
    from segue.training.engine import Engine, Validation

    def measured(log: Any = None) -> tuple[list[robot.AnnotatedObject], list[float]]:
        objects = robot.annotate(model, test, config.max_clicks, STOP, config.boundary, log)
        random = (model, test, RANDOM_CLICKS, config.seed, log)
        return objects, robot.random_clicks_quality(*random) if config.boundary else []

    def validate(engine: Engine) -> Validation:
        with engine.averaged():
            ious = [o.trace.ious for o in robot.annotate(model, val, VALIDATION_CLICKS, TARGET, boundary=False)]
        clicks = [float(clicks_needed(curve, TARGET, VALIDATION_CLICKS)) for curve in ious]
        row = {"noc": float(np.mean(clicks)), "miou1": float(np.mean([curve[0] for curve in ious]))}
        return Validation(row, tuple(n - curve[0] for n, curve in zip(clicks, ious, strict=True)))

    protocol = {"most": config.max_clicks, "stop": STOP, "boundary": config.boundary}
    with robot.robot_log(model, config.cache_dir, **protocol) as log:
        before, random_before = measured(log)
    adapter = _attached(config, model, config.seed)
    learn, val = validation_split(train)
    settings = ClickSettings(config.minutes, config.clock, config.steps, config.lr, config.batch or ClickSettings.batch)
    run = adapter_run(model, adapter, learn, settings, validate, config.output / CHECKPOINT, config.seed)
    if config.resume:
        run.resume()
    ended = run.run(on_row)
    run.load_best()
    after, random_after = measured()
    gain = robot.click_gain(before, after, config.max_clicks, run.improving)
    random = RandomClicks(clicks=RANDOM_CLICKS, before=tuple(random_before), after=tuple(random_after))
    result = ClickAdaptResult(
        **_header(config, model, adapter, (learn, val, test), gain.verdict, len(after)),
        clicks_saved=gain.clicks_saved,
        clicks_saved_each=gain.clicks_saved_each,
        clicks_saved_interval=gain.clicks_saved_interval,
        change_intervals=gain.change_intervals,
        before=robot.click_figures(before, config.max_clicks),
        after=robot.click_figures(after, config.max_clicks),
        mbiou_random=random if config.boundary else None,
        steps=run.steps,
        minutes=run.clock.wall,
        processor_minutes=run.clock.processor,
        ended=ended,
        curve=tuple(run.rows),
    )
    _finish(config, model, adapter, result, [result.before, result.after])
    write_click_report(config.output, result, model, before, after)
    (config.output / CHECKPOINT).unlink(missing_ok=True)
    return result


def _with_texts(
    config: AdaptConfig, model: Segmenter, train: Sequence[Sample], test: Sequence[Sample], on_row: OnRow
) -> TextAdaptResult:
    from segue.evaluation import adapt_texts as texts
    from segue.evaluation.adapt_report import write_text_report
    from segue.training.text_run import TextSettings, text_run
    from segue.training.text_task import text_samples

    model.text_training_core()  # a model that texts do not train is refused before anything is read
    checkpoints, runs = text_checkpoints(config), list[TextRun]()
    if config.resume and not any(file.is_file() for file in checkpoints.values()):
        raise MissingFile(
            f"no checkpoint {checkpoints[config.seed]}", "one left by an earlier run", "leave --resume out"
        )
    learn, val = validation_split(train, most=10**6)
    learn_samples, val_samples = text_samples(model, learn), text_samples(model, val)
    settings = TextSettings(
        lr=config.lr,
        batch=config.batch or TextSettings.batch,
        epochs=config.epochs,
        minutes=config.minutes,
        clock=config.clock,
        form=config.loss,
    )
    scores, trained = list[texts.BeforeAfter](), list[tuple[float, Adapter]]()
    for seed, checkpoint in checkpoints.items():
        adapter = _attached(config, model, seed)
        run = text_run(model, adapter, learn_samples, val_samples, settings, checkpoint, seed)
        if config.resume and checkpoint.is_file():
            run.resume()
        run.run(on_row)
        run.load_best()
        scores.append(texts.before_and_after(model, test, seed))
        runs.append(texts.text_run_result(seed, scores[-1], run.rows, run.best_validation[0], run.clock.minutes))
        trained.append((run.best_validation[1], adapter))
        detach(model, adapter)
    adapter = attach(model, min(trained, key=lambda pair: pair[0])[1])
    result = TextAdaptResult(
        **_header(config, model, adapter, (learn, val, test), texts.text_verdict(scores), len(scores[0][0])),
        before=texts.over_seeds([r.before for r in runs]),
        after=texts.over_seeds([r.after for r in runs]),
        minutes=sum(r.minutes for r in runs),
        runs=tuple(runs),
    )
    means = [{k: v["mean"] for k, v in side.items()} for side in (result.before, result.after)]
    _finish(config, model, adapter, result, means)
    write_text_report(config.output, result, model, test)
    for checkpoint in checkpoints.values():
        checkpoint.unlink(missing_ok=True)
    return result


def _header(
    config: AdaptConfig,
    model: Segmenter,
    adapter: Adapter,
    images: tuple[Sequence[Sample], Sequence[Sample], Sequence[Sample]],
    verdict: Verdict,
    objects: int,
) -> dict[str, Any]:
    """What both kinds of result begin with."""
    train, val, test = map(len, images)
    with disabled(model, *attached(model)):
        base_parameters = sum(p.numel() for p in model.module.parameters())
    return {
        "model": config.model,
        "adapter": adapter.kind,
        "data": str(config.data),
        "output": str(config.output),
        "seed": config.seed,
        "parameters": adapter.trainable,
        "base_parameters": base_parameters,
        "images": ImageCounts(train=train, validation=val, held_out=test),
        "objects": objects,
        "verdict": verdict.kind,
        "sentence": verdict.sentence,
        "helps": verdict.helps,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _finish(
    config: AdaptConfig, model: Segmenter, adapter: Adapter, result: AdaptResult, means: Sequence[Mapping[str, float]]
) -> None:
    """Write the adapter, with its measures before and after on its card, and the result."""
    licence = f"that of its base, {MODELS[model.name].card.licence}" if model.name in MODELS else "unknown"
    before, after = means
    figures = {f"{k}, held out, base and adapted": f"{before[k]:.4g}, {after[k]:.4g}" for k in before}
    save_adapter(model, adapter, config.output, licence=licence, figures=figures)
    write_bytes(config.output / "report.json", json.dumps(result.to_json(), indent=1).encode())
