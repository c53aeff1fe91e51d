"""Clicks given at once at random places, and what a report says of how it was scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import DataError
from segue.core.types import Click, Features, Memory, Prediction, Prompt
from segue.data.formats.registry import open_data
from segue.data.io.image import write_image, write_labels
from segue.data.record import Annotation, Sample
from segue.evaluation.random_clicks import random_clicks_quality
from segue.evaluation.results import EvaluateResult, read_result
from segue.jobs.evaluate import EvaluateConfig, evaluate
from segue.metrics.boundary import boundary_iou
from segue.models.registry import MODELS
from segue.session.load import build
from tests.fakes import ColourModel


class Asked(ColourModel):
    """Remembers every dialogue's prompts."""

    def __init__(self) -> None:
        super().__init__(60)
        self.prompts: list[tuple[Prompt, ...]] = []

    def decode(self, features: Features, prompts: Sequence[Prompt], memory: Memory | None = None) -> Prediction:
        self.prompts.append(tuple(prompts))
        return super().decode(features, prompts, memory)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A square of two colours, and a plain one."""
    for k in range(2):
        photo, target = np.full((60, 60, 3), 10, np.uint8), np.zeros((60, 60), bool)
        photo[10:40, 10:40], target[10:40, 10:40] = 220, True
        if k == 0:
            photo[25:40, 10:40] = 120
        write_image(tmp_path / "data" / "images" / f"{k}.png", photo)
        write_labels(tmp_path / "data" / "masks" / f"{k}.png", target)
    return tmp_path / "data"


def run(data: Path, model: ColourModel | None = None, **options: object) -> EvaluateResult:
    options = {"max_clicks": 2, "journal": data.parent / "journal", **options}
    return evaluate(EvaluateConfig.from_fields(data=data, model="colour", **options), model or ColourModel(60))


def test_k_clicks_are_on_the_object_and_k_off_it_and_more_include_fewer(data: Path) -> None:
    model, samples = Asked(), open_data(data).samples
    values = random_clicks_quality(model, samples, (1, 3), seed=4)
    target = samples[0].load().annotations[0].mask
    assert [len(prompts) for prompts in model.prompts] == [2, 6, 2, 6]
    assert model.prompts[1][:2] == model.prompts[0]
    clicks = [c for prompts in model.prompts for c in prompts if isinstance(c, Click)]
    assert all(target[int(c.y), int(c.x)] == c.positive for c in clicks)
    assert [c.positive for c in model.prompts[1] if isinstance(c, Click)].count(True) == 3
    masks = [
        model.decode(model.encode([s.read()[0]]), p).mask() for s, p in zip(samples, model.prompts[1::2], strict=True)
    ]
    assert values[1] == pytest.approx(np.mean([boundary_iou(mask, target) for mask in masks]))
    assert values[0] < values[1], "one click of each kind tells one colour of two"


def test_evaluate_gives_the_curve_of_its_objects_and_goes_on_where_it_stopped(data: Path) -> None:
    class Stopping(ColourModel):
        left = 3

        def encode(self, *given, **named):  # type: ignore[no-untyped-def]
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().encode(*given, **named)

    whole = run(data, random_clicks=[3, 1], seed=[0, 7], journal=data.parent / "other").random_clicks
    assert whole is not None
    assert (whole.clicks, whole.seeds) == ((1, 3), (0, 7))
    samples = open_data(data).samples
    only = {annotation.id for sample in samples for annotation in sample.load().annotations}
    given = {"threshold": 0.49, "only": only}
    each = [random_clicks_quality(ColourModel(60), samples, (1, 3), seed, **given) for seed in (0, 7)]  # type: ignore[arg-type]
    assert whole.mbiou == pytest.approx(np.mean(each, 0))
    model = Stopping(60)
    with pytest.raises(KeyboardInterrupt):
        run(data, model, random_clicks=[1, 3], seed=[0, 7])
    model.left = 3  # of the four that the curves take, one is there
    assert run(data, model, random_clicks=[1, 3], seed=[0, 7]).random_clicks == whole
    assert run(data).random_clicks is None
    assert len(run(data, limit=1, random_clicks=[1]).random_clicks.mbiou) == 1  # type: ignore[union-attr]


def test_without_a_place_off_the_object_it_says_so() -> None:
    whole = Annotation.from_mask(np.ones((4, 4), bool), id="whole")
    sample = Sample.from_arrays("a", np.zeros((4, 4, 3), np.uint8), [whole])
    with pytest.raises(DataError, match="no object to click on and off"):
        random_clicks_quality(ColourModel(), [sample], (1,))


def test_the_report_draws_curves_and_answers_and_says_how_each_run_was_scored(data: Path, tmp_path: Path) -> None:
    first = run(data, random_clicks=[1, 2], threshold=0.5)
    (tmp_path / "first.json").write_text(first.model_dump_json())
    assert read_result(tmp_path / "first.json").random_clicks == first.random_clicks
    run(data, random_clicks=[2, 5], report=tmp_path / "report", compare=[tmp_path / "first.json"], view="ritm")
    page = (tmp_path / "report" / "report.md").read_text()
    assert "view `ritm`, probability above 0.49 (RITM's rule)" in page
    assert "zoomed in to 400 pixels from click 2 on" in page
    assert "probability above 0.5 (the larger of two logits, InterFormer's rule); the whole image\n" in page
    assert page.count("| 1 | 2 | 5 |") == 1
    for picture in ("random_clicks", "answers"):
        assert f"]({picture}.png)" in page
        assert (tmp_path / "report" / f"{picture}.png").stat().st_size > 1000
    run(data, report=tmp_path / "plain")
    assert "random" not in (tmp_path / "plain" / "report.md").read_text()


def test_a_model_says_whether_it_zooms_in_by_itself() -> None:
    tiny = build("interformer-tiny", {**MODELS["interformer-tiny"].tiny, "zoom_in": True})
    assert "zoomed in" in tiny.described_view
    tiny.zoom_in(False)  # type: ignore[attr-defined]
    assert tiny.described_view == "the whole image"
    assert "regions" in build("nano", {"longest": 64}).described_view
    assert "regions" not in build("nano", {"longest": 64, "zoom": 0}).described_view
