import json

import pytest

from segue.evaluation.report import noc_by_area, page, worst_rows
from segue.evaluation.results import EvaluateResult, ObjectTrace, read_result


def trace(name, area=1, ious=(0.5,)):
    rest = {"image": name, "size": (100, 100), "boundary_ious": ious, "clicks": [(1, 1, True)]}
    return ObjectTrace(id=name, area=area, ious=ious, **rest)


def result(model="nano", **changes):
    """A run of three objects: a small hard one, two large easy ones."""
    objects = [
        trace("small", 50, (0.2, 0.5, 0.7)),
        trace("large", 4500, (0.95,)),
        trace("larger", 6000, (0.8, 0.92)),
    ]
    values = {
        "model": model,
        "adapter": None,
        "data": "shots",
        "format": "folder",
        "view": "own",
        "clicks": "center",
        "objects": 3,
        "max_clicks": 3,
        "noc": {"0.85": 2.0, "0.90": 2.0},
        "nof": {"0.85": 1, "0.90": 1},
        "unreached": {"0.85": 1, "0.90": 1},
        "noc_boundary": {"0.85": 3.0, "0.90": 3.0},
        "rof": {"0.85": 0.3, "0.90": 0.3},
        "miou_at": [0.65, 0.79, 0.856],
        "mbiou_at": [0.6, 0.7, 0.8],
        "per_object": objects,
        "seconds": {"encode_p50": 0.1, "click_p50": 0.05, "click_p95": 0.06, "spc": 0.08, "pie": 1e-7},
    }
    return EvaluateResult.from_json(values | changes)


def test_noc_by_area_counts_only_larger_objects():
    points = {ratio: (noc, count) for ratio, noc, count in noc_by_area(result(), 0.9)}
    assert points[0.0] == (2.0, 3)
    assert points[0.1] == (1.5, 2)
    assert points[0.5] == (2.0, 1)
    assert max(points) == 0.5, "no object is larger than 60 % of its image"


def test_worst_objects_come_first_and_once_even_over_seeds():
    rows = [trace(i, ious=q) for i, q in (("a", [0.95]), ("b", [0.1]), ("c", [0.4]), ("b", [0.2]), ("a", [0.3]))]
    assert [(r.id, r.ious) for r in worst_rows(rows, 0.9, 1)] == [("b", (0.1,)), ("a", (0.3,)), ("c", (0.4,))]


def test_the_page_has_a_line_for_every_run_and_every_worst_object():
    runs = {"nano": result(), "sam": result("sam", noc={"0.90": 1.5})}
    text = page(runs, result().per_object[:2])
    lines = text.splitlines()
    assert next(line for line in lines if line.startswith("| nano |")).count("|") == next(
        line for line in lines if line.startswith("| run |")
    ).count("|")
    assert "| sam |  | 1.50 |" in text, "a target the other run did not have stays empty"
    assert "| small | 50 | 3 | 0.200 | 0.700 |" in text


@pytest.mark.parametrize(("spread", "shown"), [(0.12, "2.000 ± 0.120 (1.90, 2.10)"), (None, "2.000 (1.90, 2.10)")])
def test_the_page_gives_mean_and_spread_over_seeds(spread, shown):
    seeds = {"0.90": {"mean": 2.0, "spread": spread, "each": [1.9, 2.1], "seeds": [0, 1]}}
    assert f"NoC90 over seeds [0, 1]: {shown}" in page({"nano": result(noc_over_seeds=seeds)}, [])


def test_the_page_says_which_curves_stand_still():
    text = page({"full": result(), "short": result(stop_at_target=True)}, [])
    assert "short stopped at its highest target" in text
    assert "full stopped" not in text


def test_results_survive_json(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(result().to_json()))
    assert read_result(tmp_path / "run.json") == result()
