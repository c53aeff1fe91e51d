"""The place of the first click: which pixels are tried, and what is counted from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import InputError
from segue.data.io.image import write_image, write_labels
from segue.evaluation.first_clicks import grid_clicks
from segue.evaluation.results import EvaluateResult
from segue.jobs.evaluate import EvaluateConfig, evaluate
from tests.fakes import ColourModel


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two squares: the first's lower third has another colour; the second's lacks its lower right quarter."""
    for k in range(2):
        photo, target = np.full((60, 60, 3), 10, np.uint8), np.zeros((60, 60), bool)
        photo[10:40, 10:40], target[10:40, 10:40] = 220, True
        if k:
            photo[25:40, 25:40], target[25:40, 25:40] = 10, False
        else:
            photo[30:40, 10:40] = 120
        write_image(tmp_path / "data" / "images" / f"{k}.png", photo)
        write_labels(tmp_path / "data" / "masks" / f"{k}.png", target)
    return tmp_path / "data"


def run(data: Path, model: ColourModel | None = None, **options: object) -> EvaluateResult:
    options = {"max_clicks": 4, "target": (0.6,), "journal": data.parent / "journal", **options}
    return evaluate(EvaluateConfig.from_fields(data=data, model="colour", **options), model or ColourModel(60))


def test_each_click_lies_on_the_object_in_its_cell() -> None:
    target = np.zeros((40, 50), bool)
    target[5:26, 7:37] = np.tri(21, 30, 4, dtype=bool)  # 21 x 25
    found = list(grid_clicks(target, 4))
    assert 4 < len(found) < 16
    for row, column, click in found:
        assert target[click.y, click.x]
        assert ((click.y - 5) * 4 // 21, (click.x - 7) * 4 // 25) == (row, column)
        assert click.positive
    with pytest.raises(InputError, match="empty"):
        next(grid_clicks(np.zeros((4, 4), bool), 2))


def test_clicks_needed_are_counted_by_the_cell_of_the_first_and_averaged(data: Path) -> None:
    """Two thirds of the first square are one colour: enough for 0.6. From its last third it takes another click."""
    found = run(data, first_click_grid=3).first_clicks
    assert found is not None
    assert found.target == 0.6
    assert found.objects == ((2, 2, 2), (2, 2, 2), (2, 2, 1))
    assert found.noc == ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (1.5, 1.5, 2.0))


def test_it_is_only_what_is_chosen_and_changes_no_other_figure(data: Path) -> None:
    plain, grid = run(data, limit=1), run(data, limit=1, first_click_grid=2)
    assert plain.first_clicks is None
    assert grid.first_clicks is not None
    assert grid.first_clicks.objects == ((1, 1), (1, 1))
    assert grid.noc == plain.noc
    assert [(o.clicks, o.ious) for o in grid.per_object] == [(o.clicks, o.ious) for o in plain.per_object]
    assert run(data, every=2, first_click_grid=1).first_clicks.objects == ((1,),)  # type: ignore[union-attr]


def test_a_run_that_was_stopped_goes_on_after_its_finished_objects(data: Path) -> None:
    class Stopping(ColourModel):
        left = 3

        def encode(self, *given, **named):  # type: ignore[no-untyped-def]
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            return super().encode(*given, **named)

    whole, model = run(data, first_click_grid=2, journal=data.parent / "other"), Stopping(60)
    with pytest.raises(KeyboardInterrupt):
        run(data, model, first_click_grid=2)  # after both objects, and the first one's grid
    model.left = 1
    assert run(data, model, first_click_grid=2).first_clicks == whole.first_clicks


def test_the_report_draws_the_heat_map(data: Path, tmp_path: Path) -> None:
    run(data, first_click_grid=3, report=tmp_path / "report")
    assert "](first_clicks.png)" in (tmp_path / "report" / "report.md").read_text()
    assert (tmp_path / "report" / "first_clicks.png").stat().st_size > 1000
    run(data, report=tmp_path / "plain")
    assert "first_clicks" not in (tmp_path / "plain" / "report.md").read_text()
