"""A file of finished rows, one JSON line each: what a killed job had done is there when it starts again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.core.errors import DataError
from segue.core.files import storage_error


class ResumeLog:
    """Rows by key, each on disk before ``add`` returns; the first line says which job they belong to.

    A line cut short by a kill is dropped. Raises ``DataError`` for the rows of another job and ``StorageError``
    if the disk refuses. Source: none; an append-only journal.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with ResumeLog(Path(folder, "rows"), "job 1") as rows:
    ...         rows.add("cat", {"iou": 0.9})
    ...     with ResumeLog(Path(folder, "rows"), "job 1") as rows:
    ...         rows["cat"]
    {'iou': 0.9}
    """

    def __init__(self, path: Path, job: str) -> None:
        self.path = path
        self._rows: dict[str, dict[str, Any]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = self._recover(job) if path.exists() else 0
            self._file = path.open("ab")
            self._file.truncate(whole)
            if not whole:
                self._append({"job": job})
        except OSError as error:
            raise storage_error(path, error) from error

    def _recover(self, job: str) -> int:
        """Read the complete lines; returns their length in bytes."""
        whole = 0
        for number, line in enumerate(self.path.read_bytes().splitlines(keepends=True)):
            try:
                content = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                content = None
            if not isinstance(content, dict):
                break
            if number == 0 and content.get("job") != job:
                raise DataError(
                    f"{self.path}, which holds rows of another job",
                    "this job's own rows",
                    "remove the file or name another",
                )
            if number:
                self._rows[content["key"]] = content["row"]
            whole += len(line)
        return whole

    def _append(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Keep ``row`` (JSON values only) under ``key``."""
        try:
            self._append({"key": key, "row": row})
        except OSError as error:
            raise storage_error(self.path, error) from error
        self._rows[key] = dict(row)

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._rows[key]

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> ResumeLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def remove(self) -> None:
        """Delete the file once the job is done."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def job_digest(causes: Mapping[str, Any]) -> str:
    """A short digest of everything that determines a job's rows.

    >>> job_digest({"a": 1, "b": 2}) == job_digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(causes, sort_keys=True, default=str).encode()).hexdigest()[:20]
