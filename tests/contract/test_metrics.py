"""Every row of the table of metrics keeps the promises made for all of them."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from segue.core.errors import InputError
from segue.metrics.registry import METRICS

ORACLES = "".join(p.read_text() for p in (Path(__file__).parents[1] / "metrics").glob("test_*.py"))
BLOB = np.zeros((24, 32), bool)
BLOB[6:18, 8:22] = True
EXAMPLES = {
    "masks": lambda metric: metric(np.roll(BLOB, 1, axis=0), BLOB),
    "curves": lambda metric: metric([[0.5, 0.9], [0.95]], **({"target": 0.9} if takes(metric, "target") else {})),
    "time": lambda metric: metric(2.0, (4, 8) if takes(metric, "size") else 4),
}


def takes(metric, parameter):
    return parameter in inspect.signature(metric).parameters


@pytest.mark.parametrize("name", METRICS)
def test_docstring_states_source_and_a_runnable_example(name):
    text = inspect.getdoc(METRICS.load(name))
    assert "Source:" in text
    assert ">>>" in text


@pytest.mark.parametrize("name", METRICS)
def test_an_independent_oracle_test_exists(name):
    function = METRICS.load(name).__name__
    assert re.search(rf"def test_{function}_matches_oracle\(", ORACLES), f"no oracle test for {name}"


@pytest.mark.parametrize("name", METRICS)
def test_plain_numbers_come_out(name):
    value = EXAMPLES[METRICS[name].takes](METRICS.load(name))
    assert all(type(v) in (float, int) for v in (value if isinstance(value, list) else [value]))


@pytest.mark.parametrize("name", [n for n, row in METRICS.items() if row.takes == "masks"])
def test_mask_metrics_prefer_equality_and_refuse_other_sizes(name):
    metric, better = METRICS.load(name), METRICS[name].better
    same, shifted = metric(BLOB, BLOB), metric(np.roll(BLOB, 5, axis=1), BLOB)
    assert same == (1.0 if better > 0 else 0.0)
    assert better * same > better * shifted
    with pytest.raises(InputError):
        metric(BLOB[:-1], BLOB)


@pytest.mark.parametrize("name", [n for n, row in METRICS.items() if row.takes == "masks"])
def test_mask_metrics_leave_their_inputs_alone(name):
    a, b = np.roll(BLOB, 2, axis=0), BLOB.copy()
    METRICS.load(name)(a, b)
    assert (a == np.roll(BLOB, 2, axis=0)).all()
    assert (b == BLOB).all()


@pytest.mark.parametrize("name", METRICS)
def test_the_page_on_metrics_names_it_and_its_function(name):
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    module, function = METRICS[name].target.split(":")
    assert f"| `{name}` | `{module.rpartition('.')[2]}.{function}` |" in page
