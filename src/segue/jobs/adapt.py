"""``segue adapt``: train an adapter on one's own masks, and say from held-out images whether it helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from segue.core.errors import ConfigError, DataError
from segue.core.failures import Failures
from segue.core.segmenter import Segmenter
from segue.core.types import Click, Text
from segue.data.formats.registry import open_data
from segue.data.medical import MEDICAL, read_medical, with_texts
from segue.data.record import Options, Sample
from segue.evaluation.adapt_result import AdaptResult
from segue.jobs.job import job
from segue.jobs.output import claim_output
from segue.training.config import AdaptConfig

OnRow: TypeAlias = Callable[[Mapping[str, float]], None]
PUBLISHED_SPLITS = ("train", "val", "test")
FINISHED = ("adapter_config.json", "adapter_model.safetensors", "report.json")


@job(AdaptConfig)
def adapt(
    config: AdaptConfig,
    model: Segmenter | None = None,
    on_row: Callable[[Mapping[str, float]], None] = lambda row: None,
) -> AdaptResult:
    """Train an adapter, write it to ``config.output`` beside a report, return the report's figures.

    The folder holds ``adapter_config.json`` and ``adapter_model.safetensors``, ``report.json``, ``report.md``,
    learning curves and ten overlays. The verdict is "gain proven" where the bootstrap interval of the held-out
    difference excludes none. ``model`` replaces the one that ``config`` names; the adapter stays attached to it. Raises
    ``DataError`` for too few images, ``ConfigError`` for an adapter that does not suit and for an output that holds an
    earlier one which is neither resumed nor replaced (``force``). An image that does not read is left out and named,
    unless ``strict``.
    """
    samples = read_samples(config)
    from segue.jobs.adapt_run import adapt_by_clicks, adapt_by_texts  # torch, which the command line does without

    # an earlier adapter stays until the new one takes its place
    claim_output(config.output, FINISHED, resume=config.resume or config.force)
    base = model if model is not None else config.load()
    if not {Click, Text} & base.accepts:
        raise ConfigError(f"model {config.model}", "one that clicks or texts prompt", "choose another model")
    failures = Failures(config.strict)
    train, test = (readable(part, failures) for part in split(samples, config))
    failed = failures.check(max(0, min(len(train) - 1, len(test))))
    run = adapt_by_clicks if Click in base.accepts else adapt_by_texts
    return run(config, base, train, test, on_row).model_copy(update={"failed": failed})


def read_samples(config: AdaptConfig) -> list[Sample]:
    """The samples that ``config`` names; with ``name``, texts for masks that have none."""
    if config.format in MEDICAL:
        samples = list(read_medical(config.format, config.data))
    elif config.data.suffix == ".json" and config.data.is_file():
        samples = list(open_data(config.data, "coco").samples)
    else:
        samples = list(open_data(config.data, config.format, Options()).samples)
    return [with_texts(s, config.name) for s in samples] if config.name else samples


def readable(samples: Sequence[Sample], failures: Failures) -> list[Sample]:
    """Those of ``samples`` whose image and masks read; the others are noted in ``failures``."""
    good: list[Sample] = []
    for sample in samples:
        with failures.guard(sample.id):
            sample.read()
            good.append(sample)
    return good


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
