import os

import pytest

from segue.core.errors import DataError, StorageError
from segue.data.io.resume_log import ResumeLog


def test_every_cut_keeps_all_whole_rows(tmp_path):
    path = tmp_path / "rows"
    with ResumeLog(path, "job") as rows:
        for k in range(3):
            rows.add(f"key {k}", {"value": k})
    content = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(content) if byte == ord("\n")]
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        with ResumeLog(path, "job") as rows:
            assert len(rows) == max(0, sum(end <= cut for end in ends) - 1)
            rows.add("after", {"value": 9})
        with ResumeLog(path, "job") as rows:
            assert rows["after"] == {"value": 9}


def test_rows_of_another_job_are_refused_and_kept(tmp_path):
    with ResumeLog(tmp_path / "rows", "mine") as rows:
        rows.add("a", {})
    before = (tmp_path / "rows").read_bytes()
    with pytest.raises(DataError, match="another job"):
        ResumeLog(tmp_path / "rows", "yours")
    assert (tmp_path / "rows").read_bytes() == before


def test_a_full_disk_is_reported_and_what_was_written_stays(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with ResumeLog(tmp_path / "rows", "job") as rows:
        rows.add("a", {"value": 1})
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            rows.add("b", {"value": 2})
    monkeypatch.undo()
    with ResumeLog(tmp_path / "rows", "job") as rows:
        assert rows["a"] == {"value": 1}
