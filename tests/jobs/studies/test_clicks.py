import numpy as np
import pytest

from segue.data.io.image import write_image, write_labels
from segue.jobs.evaluate import evaluate
from segue.jobs.studies.clicks import by_clicks, by_cost, figures_of
from segue.jobs.studies.registry import STUDIES
from segue.jobs.studies.table import StudyTrial


def trial(folder, **changes):
    row = {"model": "nano", "weights": None, "adapter": None, "data": None, "settings": {}, "limit": None}
    return StudyTrial(**{**row, "device": "cpu", "folder": folder / "parts", **changes})


def write_scene(folder):
    photo, target = np.full((48, 64, 3), 30, np.uint8), np.zeros((48, 64), bool)
    photo[8:40, 16:48], target[8:40, 16:48] = 220, True
    write_image(folder / "images" / "a.png", photo)
    write_labels(folder / "masks" / "a.png", target)
    return folder


def test_figures_are_those_of_evaluate_and_every_table_asks_for_one_of_them(tmp_path):
    data = write_scene(tmp_path / "data")
    figures = by_clicks(trial(tmp_path, data=data))
    result = evaluate(data=data, max_clicks=20, target=(0.85, 0.9))
    assert figures["NoC90"] == result.noc["0.90"]
    assert figures["bNoC85"] == result.noc_boundary["0.85"]
    assert figures["mbIoU@10"] == pytest.approx(100 * result.mbiou_at[9])
    assert figures["RoF85"] == 100 * result.rof["0.85"]
    assert set(figures) == set(figures_of(result))
    asked = {c.figure for name in STUDIES for c in STUDIES.load(name).columns if c.measure is by_clicks}
    assert asked <= set(figures)


def test_the_cost_counts_a_fresh_adapter_and_every_table_asks_for_one_of_its_figures(tmp_path):
    model = {"model": "simpleclick-xtiny", "weights": "random"}
    bare = by_cost(trial(tmp_path, **model, settings={"side": 64}))
    worn = by_cost(trial(tmp_path, **model, settings={"side": 64, "adapter": "detail"}))
    assert worn["parameters"] > bare["parameters"]
    assert worn["GMAC"] > bare["GMAC"] == bare["GFLOP"] / 2
    asked = {c.figure for name in STUDIES for c in STUDIES.load(name).columns if c.measure is by_cost}
    assert asked <= set(bare)
