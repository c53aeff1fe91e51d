"""What ``segue adapt`` composes: an adapter, the engine's run, the robot or texts before and after, the report."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from segue.adapters.base import Adapter, attach, attached, detach, disabled, save_adapter
from segue.core.errors import MissingFile
from segue.core.files import write_bytes
from segue.core.segmenter import Segmenter
from segue.data.record import Sample
from segue.evaluation import adapt_clicks as robot
from segue.evaluation import adapt_texts as texts
from segue.evaluation.adapt_report import write_click_report, write_text_report
from segue.evaluation.adapt_result import (
    AdaptResult,
    ClickAdaptResult,
    ImageCounts,
    RandomClicks,
    TextAdaptResult,
    TextRun,
)
from segue.evaluation.adapt_verdict import Verdict
from segue.evaluation.random_clicks import random_clicks_quality
from segue.jobs.adapt_training import LEFTOVERS, fresh_adapter, train_by_clicks, validation_split
from segue.jobs.output import claim_output
from segue.models.registry import MODELS
from segue.training.config import AdaptConfig
from segue.training.text_run import TextSettings, text_run
from segue.training.text_task import text_samples

STOP = 0.9  # the quality at which the robot stops
RANDOM_CLICKS = (1, 2, 3, 5)  # positive, and as many negative

OnRow: TypeAlias = Callable[[Mapping[str, float]], None]


def adapt_by_clicks(
    config: AdaptConfig, model: Segmenter, train: Sequence[Sample], test: Sequence[Sample], on_row: OnRow
) -> ClickAdaptResult:
    """Train on the robot's clicks, stopped by its clicks on a part of ``train``, measured on ``test``."""
    claim_output(config.output, LEFTOVERS, resume=config.resume, force=config.force)

    def measured(log: Any = None) -> tuple[list[robot.AnnotatedObject], list[float]]:
        objects = robot.annotate(model, test, config.max_clicks, STOP, config.boundary, log)
        random = (model, test, RANDOM_CLICKS, config.seed, log)
        return objects, random_clicks_quality(*random) if config.boundary else []

    protocol = {"most": config.max_clicks, "stop": STOP, "boundary": config.boundary}
    with robot.robot_log(model, config.cache_dir, **protocol) as log:
        before, random_before = measured(log)
    trained = train_by_clicks(config, model, train, on_row)
    after, random_after = measured()
    counts = ImageCounts(train=trained.learned, validation=trained.validated, held_out=len(test))
    gain = robot.click_gain(before, after, config.max_clicks, trained.improving)
    random = RandomClicks(clicks=RANDOM_CLICKS, before=tuple(random_before), after=tuple(random_after))
    result = ClickAdaptResult(
        **_header(config, model, trained.adapter, counts, gain.verdict, len(after)),
        clicks_saved=gain.clicks_saved,
        clicks_saved_each=gain.clicks_saved_each,
        clicks_saved_interval=gain.clicks_saved_interval,
        change_intervals=gain.change_intervals,
        before=robot.click_figures(before, config.max_clicks),
        after=robot.click_figures(after, config.max_clicks),
        mbiou_random=random if config.boundary else None,
        steps=trained.steps,
        minutes=trained.wall,
        processor_minutes=trained.processor,
        ended=trained.ended,
        curve=trained.curve,
        cross_validated=trained.cross_validated,
    )
    _finish(config, model, trained.adapter, result, [result.before, result.after])
    write_click_report(config.output, result, model, before, after)
    for name in LEFTOVERS:
        (config.output / name).unlink(missing_ok=True)
    return result


def adapt_by_texts(
    config: AdaptConfig, model: Segmenter, train: Sequence[Sample], test: Sequence[Sample], on_row: OnRow
) -> TextAdaptResult:
    """Train on texts, a run for each seed, of which the best on validation is written; measured on ``test``."""
    model.text_training_core()  # a model that texts do not train is refused before anything is read
    seeds = range(config.seed, config.seed + config.seeds)
    checkpoints, runs = {seed: config.output / f"checkpoint-{seed}.pt" for seed in seeds}, list[TextRun]()
    claim_output(config.output, [c.name for c in checkpoints.values()], resume=config.resume, force=config.force)
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
        adapter = fresh_adapter(config, model, seed)
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
    counts = ImageCounts(train=len(learn), validation=len(val), held_out=len(test))
    result = TextAdaptResult(
        **_header(config, model, adapter, counts, texts.text_verdict(scores), len(scores[0][0])),
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
    images: ImageCounts,
    verdict: Verdict,
    objects: int,
) -> dict[str, Any]:
    """What both kinds of result begin with."""
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
        "images": images,
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
