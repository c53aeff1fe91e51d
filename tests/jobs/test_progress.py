"""What a long job says while it works."""

from __future__ import annotations

import re

import pytest

from segue.jobs import progress as module
from segue.jobs.progress import progress


def test_a_log_names_count_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "SPOKEN_EVERY", 0.0)
    assert list(progress(range(3), 5, "find", before=2)) == [0, 1, 2]
    said = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in said] == ["find: 3 of 5", "find: 4 of 5", "find: 5 of 5"]
    assert all(re.search(r", \d+ s left, [\d.]+ images/s$", line) for line in said)


def test_without_a_total_there_is_no_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "SPOKEN_EVERY", 0.0)
    assert list(progress("ab", None, "track", unit="frames")) == ["a", "b"]
    assert re.fullmatch(r"track: 2, [\d.]+ frames/s", capsys.readouterr().err.splitlines()[-1])
