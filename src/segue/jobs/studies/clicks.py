"""Measures of click models: the robot's clicks, and what a click costs."""

from __future__ import annotations

from collections.abc import Sequence

from segue.adapters.base import attach
from segue.adapters.registry import ADAPTERS
from segue.evaluation.benchmark import Runner, sample_image
from segue.evaluation.click_protocol import with_view
from segue.evaluation.results import EvaluateResult
from segue.jobs.evaluate import EvaluateConfig, evaluate
from segue.jobs.studies.table import Column, StudyTrial
from segue.session.load import load

CLICKS = 20
TARGETS = 0.85, 0.9


def by_clicks(trial: StudyTrial) -> dict[str, float]:
    """NoC, RoF (per cent), bNoC, mIoU@k, mbIoU@k (per cent), SPC and PIE of one model on one data set.

    The row's ``settings`` are fields of ``EvaluateConfig`` (``view``, ``threshold``, ``zoom_size`` ...). Finished
    objects stay in the trial's folder.
    """
    keep = {"limit": trial.limit, "journal": trial.folder / "objects.jsonl", "target": TARGETS, "max_clicks": CLICKS}
    what = {"model": trial.model, "weights": trial.weights, "adapter": trial.adapter, "device": trial.device}
    own = {
        name: value
        for name, value in trial.settings.items()
        if name in EvaluateConfig.model_fields and name != "adapter"
    }
    return figures_of(evaluate(EvaluateConfig.from_fields(**what, **keep, data=trial.data, **own)))


def figures_of(result: EvaluateResult) -> dict[str, float]:
    """The figures that the papers' tables name."""
    figures: dict[str, float] = {"objects": result.objects, "SPC": result.seconds.spc, "PIE": 1e7 * result.seconds.pie}
    for name, values, unit in (("NoC", result.noc, 1), ("RoF", result.rof, 100), ("bNoC", result.noc_boundary, 1)):
        figures |= {f"{name}{100 * float(target):.0f}": unit * value for target, value in values.items()}
    for name, curve in (("mIoU", result.miou_at), ("mbIoU", result.mbiou_at)):
        figures |= {f"{name}@{k}": 100 * value for k, value in enumerate(curve, start=1)}
    return figures


def by_cost(trial: StudyTrial) -> dict[str, float]:
    """Parameters (millions), operations of one answer (10^9 FLOP; multiply-adds are half of them), seconds per click,
    its milliseconds, and seconds per click and pixel (1e-7), with encoding once in 20 clicks and without it.

    ``settings``: ``side`` of the square image in pixels, ``view``, and the kind of a fresh ``adapter``.
    """
    side = int(trial.settings.get("side", 512))
    model = load(trial.model, weights=trial.weights, adapter=trial.adapter, device=trial.device)
    if "adapter" in trial.settings:
        attach(model, ADAPTERS.load(trial.settings["adapter"])(model)).eval()
    runner = Runner(trial.model, with_view(model, trial.settings.get("view", "own")), str(trial.weights))
    image = sample_image((side, side))
    for _ in range(2):  # the first warms up
        runner.run_dialogue(image, CLICKS)
    runner.forget_first_dialogue()
    row = runner.figures(image, 1.0, runner)
    operations = row.encode.gflops + row.click.gflops
    return {
        "parameters": row.parameters / 1e6,
        "GFLOP": operations,
        "GMAC": operations / 2,
        "SPC": row.spc,
        "ms": 1000 * row.spc,
        "PIE": 1e7 * row.pie,
        "SPC clicks": row.spc_clicks,
        "PIE clicks": 1e7 * row.pie_clicks,
    }


def click_columns(names: Sequence[str], figures: Sequence[str] = ("NoC85", "NoC90")) -> tuple[Column, ...]:
    """The ``figures`` of each data set."""
    return tuple(Column(f"{name} {figure}", figure, by_clicks, name) for name in names for figure in figures)


def cost_column(name: str, figure: str, digits: int = 2) -> Column:
    """A figure that needs no data and no weights."""
    return Column(name, figure, by_cost, digits=digits, weightless=True)
