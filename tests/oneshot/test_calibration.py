"""Probabilities from evidence: fitted, checked against what is seen, kept in a file."""

import json

import numpy as np
import pytest

from segue.core.errors import ConfigError, DataError, MissingFile
from segue.oneshot.calibration import Calibration, evidence_table, fit_logistic, reliability, threshold_for

CHANCE = np.random.default_rng(0)


def drawn(count):
    """Evidence whose log-odds are known, and what happened."""
    table = CHANCE.normal(0.0, (1.0, 5.0), (count, 2)) + (2, -3)
    odds = 1.5 * table[:, 0] - 0.4 * table[:, 1] - 4.0
    return table, CHANCE.random(count) < 1 / (1 + np.exp(-odds))


def test_the_weights_that_made_the_data_are_found():
    table, present = drawn(20_000)
    weights, bias = fit_logistic(table, present, ridge=1e-6)
    assert weights == pytest.approx([1.5, -0.4], abs=0.1)
    assert bias == pytest.approx(-4.0, abs=0.3)


def test_they_are_those_of_another_optimiser():
    optimize = pytest.importorskip("scipy.optimize")
    table, present = drawn(300)
    standard = (table - table.mean(0)) / (table.std(0) + 1e-6)

    def loss(weights):
        odds = standard @ weights[:2] + weights[2]
        return np.logaddexp(0, np.where(present, -odds, odds)).sum() + 5.0 * (weights[:2] ** 2).sum()

    theirs = optimize.minimize(loss, np.zeros(3), tol=1e-10).x[:2]
    weights, _ = fit_logistic(table, present, ridge=10.0)
    assert weights * (table.std(0) + 1e-6) == pytest.approx(theirs, abs=1e-4)


def test_what_was_fitted_is_calibrated_on_new_data():
    weights, bias = fit_logistic(*drawn(4000))
    table, present = drawn(4000)
    said = 1 / (1 + np.exp(-(table @ weights + bias)))
    curve, error = reliability(said, present)
    assert error < 0.03
    assert sum(row.count for row in curve) == 4000
    _, overconfident = reliability((said > 0.5).astype(float), present)
    assert overconfident > 2 * error


def test_the_threshold_keeps_its_promise():
    scores = CHANCE.random(1000)
    for rate in (0.0, 0.02, 0.1):
        assert (scores >= threshold_for(scores, rate)).mean() <= rate


def test_one_kind_of_example_teaches_nothing():
    with pytest.raises(DataError, match="without it"):
        fit_logistic(np.ones((3, 1)), np.ones(3, bool))


def test_a_file_keeps_it_and_a_wrong_one_is_named(tmp_path):
    calibration = Calibration("nano", {"colors": 2.5, "likeness": 1.0}, -1.5, 0.7, {"recall": 0.9})
    calibration.save(tmp_path / "a.json")
    assert Calibration.read(tmp_path / "a.json") == calibration
    (tmp_path / "b.json").write_text(json.dumps({"weights": [1]}))
    with pytest.raises(DataError, match="no calibration"):
        Calibration.read(tmp_path / "b.json")
    with pytest.raises(MissingFile):
        Calibration.read(tmp_path / "c.json")
    with pytest.raises(ConfigError, match="segue calibrate"):
        calibration.probability({"colors": 1.0})


def test_columns_are_in_the_order_of_their_names():
    assert evidence_table([{"a": 1, "b": 2}, {"b": 4, "a": 3}], ["b", "a"]).tolist() == [[2, 1], [4, 3]]
