"""Means of what steps gave, between two rows of a run."""

from __future__ import annotations

from collections.abc import Mapping

from segue.training.processes import Processes


class Means:
    """Running means by name, over steps or, with ``over_targets``, over the targets in them.

    >>> means = Means()
    >>> means.add({"loss": 1.0}, 3)
    >>> means.add({"loss": 2.0, "iou1": 0.5}, 1)
    >>> means.taken(Processes()), bool(means)
    ({'loss': 1.5, 'iou1': 0.5}, False)
    """

    def __init__(self, over_targets: bool = False) -> None:
        self.over_targets = over_targets
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, values: Mapping[str, float], targets: int) -> None:
        """Count one step's ``values``."""
        weight = targets if self.over_targets else 1
        for name, value in values.items():
            total, count = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = (total + value * weight, count + weight)

    def taken(self, processes: Processes) -> dict[str, float]:
        """The means of all processes; counting begins anew."""
        parts, self._sums = processes.gathered(self._sums), {}
        sums: dict[str, tuple[float, float]] = {}
        for part in parts:
            for name, (total, count) in part.items():
                before = sums.get(name, (0.0, 0.0))
                sums[name] = (before[0] + total, before[1] + count)
        return {name: total / count for name, (total, count) in sums.items()}

    def __bool__(self) -> bool:
        return bool(self._sums)
