"""How evidence becomes a probability that the object is there: fitted per family of models, never shared.

A calibration is a logistic regression on named evidence with the threshold that was chosen with it. Evidence that it
does not name is not even computed where that costs time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segue.core.errors import ConfigError, DataError, MissingFile
from segue.core.files import read_json, write_text

RIDGE = 10.0  # of the standardised weights; there are few subjects and many kinds of evidence, so strong
STEPS = 50


@dataclass(frozen=True)
class Calibration:
    """``weights`` of the evidence by name and the ``bias`` give the log-odds that the object is there; a match is
    accepted at a probability of at least ``threshold``. ``model`` is what it was fitted on, ``figures`` what held-out
    subjects showed.

    >>> calibration = Calibration("toy", {"likeness": 4.0}, -2.0, 0.6)
    >>> calibration.probability({"likeness": 0.5, "model": 1.0})
    0.5
    """

    model: str
    weights: Mapping[str, float]
    bias: float
    threshold: float
    figures: Mapping[str, Any] = field(default_factory=dict)

    def probability(self, evidence: Mapping[str, float]) -> float:
        """[0, 1] of one match's evidence. Raises ``ConfigError`` where evidence is missing."""
        missing = [name for name in self.weights if name not in evidence]
        if missing:
            raise ConfigError(
                f"a calibration that weighs {', '.join(missing)}",
                f"{', '.join(evidence)}",
                "fit it again: segue calibrate",
            )
        total = self.bias + sum(weight * evidence[name] for name, weight in self.weights.items())
        return float(1 / (1 + np.exp(-total)))

    def save(self, path: Path | str) -> None:
        """Write the calibration as JSON."""
        write_text(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path | str) -> Calibration:
        """The inverse of ``save``. Raises ``MissingFile`` or ``DataError``."""
        if not Path(path).is_file():
            raise MissingFile(f"no file {path}", "what segue calibrate wrote", "check the spelling")
        try:
            return cls.from_json(read_json(path))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}, which is no calibration", "what segue calibrate wrote") from error

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Calibration:
        """The calibration whose fields are ``values``."""
        weights = {str(name): float(weight) for name, weight in values["weights"].items()}
        return cls(str(values["model"]), weights, float(values["bias"]), float(values["threshold"]), values["figures"])


def fit_logistic(
    evidence: NDArray[Any], present: NDArray[np.bool_], ridge: float = RIDGE
) -> tuple[NDArray[np.float64], float]:
    """(n, d) evidence and (n,) bool -> weights (d,) and bias of a logistic regression.

    Newton's steps on standardised columns with a ridge on the weights; undone for the answer.

    >>> weights, bias = fit_logistic(np.array([[0.0], [0.1], [0.9], [1.0]]), np.array([False, False, True, True]), 0.1)
    >>> bool(weights[0] > 0 and abs(weights[0] * 0.5 + bias) < 1e-6)
    True
    """
    if present.all() or not present.any():
        raise DataError("examples of one kind only", "photos with the object and photos without it")
    mean, std = evidence.mean(0), evidence.std(0) + 1e-6
    table = np.concatenate(((evidence - mean) / std, np.ones((len(evidence), 1))), 1)
    penalty = np.diag([ridge] * evidence.shape[1] + [1e-9])
    weights = np.zeros(table.shape[1])
    for _ in range(STEPS):
        likely = 1 / (1 + np.exp(-table @ weights))
        slope = table.T @ (likely - present) + penalty @ weights
        curve = (table * (likely * (1 - likely))[:, None]).T @ table + penalty
        step = np.linalg.solve(curve, slope)
        weights = weights - step
        if np.abs(step).max() < 1e-10:
            break
    return weights[:-1] / std, float(weights[-1] - (weights[:-1] * mean / std).sum())


def threshold_for(absent: NDArray[Any], false_rate: float) -> float:
    """The probability that at most ``false_rate`` of the scores of ``absent`` objects (n,) reach.

    >>> round(threshold_for(np.array([0.1, 0.2, 0.3, 0.9]), 0.25), 3)
    0.301
    """
    ranked = np.sort(absent)[::-1]
    allowed = min(int(false_rate * len(ranked)), len(ranked) - 1)
    return float(min(ranked[allowed] + 1e-3, 1.0))


@dataclass(frozen=True)
class ReliabilityBin:
    """Of the matches whose probability lies in one stretch: the mean ``said``, the share that was right (``seen``)
    and the ``count``."""

    said: float
    seen: float
    count: int


def reliability(
    probability: NDArray[Any], present: NDArray[np.bool_], bins: int = 10
) -> tuple[list[ReliabilityBin], float]:
    """The reliability curve of (n,) probabilities and the expected calibration error: the mean distance between what
    was said and what was seen, over ``bins`` equal stretches, weighted by their counts.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017, equations 2 and 3.

    >>> curve, error = reliability(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, False]))
    >>> [(b.count, b.seen) for b in curve], round(error, 2)
    ([(2, 0.0), (2, 0.5)], 0.25)
    """
    where = np.minimum((probability * bins).astype(int), bins - 1)
    curve: list[ReliabilityBin] = []
    for index in np.unique(where):
        inside = where == index
        said, seen = float(probability[inside].mean()), float(present[inside].mean())
        curve.append(ReliabilityBin(round(said, 4), round(seen, 4), int(inside.sum())))
    error = sum(abs(b.said - b.seen) * b.count for b in curve) / max(1, len(probability))
    return curve, float(error)


def evidence_table(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> NDArray[np.float64]:
    """Evidence by name -> (n, d), columns in the order of ``names``."""
    return np.array([[row[name] for name in names] for row in rows], np.float64).reshape(len(rows), len(names))
