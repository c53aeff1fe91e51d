"""Files from the web: fetched piece by piece, continued where a connection broke, and checked."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from segue.core.errors import DownloadError
from segue.core.files import file_digest, storage_error

PIECE = 1 << 20  # bytes
PATIENCE = 30.0  # seconds without a byte
Report = Callable[[Iterable[bytes], int | None, int], Iterable[bytes]]  # the pieces, how many in all, how many before


def download(url: str, path: Path, sha256: str = "", report: Report = lambda pieces, total, before: pieces) -> Path:
    """Fetch ``url`` as ``path``, which appears when it is whole and has the digest ``sha256`` ('' checks nothing).

    What a broken connection left in ``<path>.part`` is continued where the digest will tell that all fits together.
    ``report`` passes the pieces of ``PIECE`` bytes on and may show how far they are. Raises ``DownloadError`` for what
    the server refuses, for a connection that breaks and for another file than the published one, ``StorageError``
    where the disk refuses. Source: HTTP range requests, RFC 9110, section 14.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = part.stat().st_size if sha256 and part.exists() else 0
        whole = bool(there) and file_digest(part) == sha256.lower()  # it broke between the last byte and its name
    except OSError as error:
        raise storage_error(path, error) from error
    if not whole:
        _fetch(url, part, there, report)
    found = file_digest(part) if sha256 else ""
    if found != sha256.lower():
        part.unlink()
        raise DownloadError(
            f"{url} with SHA-256 {found}", f"the published file, {sha256.lower()}", "try again, or another source"
        )
    os.replace(part, path)
    return path


def _fetch(url: str, part: Path, there: int, report: Report) -> None:
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            before = there if answer.status == http.client.PARTIAL_CONTENT else 0
            length = answer.headers.get("Content-Length")
            total = None if length is None else before + int(length)
            pieces = None if total is None else -(-total // PIECE)
            _write(part, report(_pieces(answer), pieces, before // PIECE), append=bool(before))
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and there:  # longer than the file: not its part
            return _fetch(url, part, 0, report)
        raise DownloadError(f"no way to fetch {url}: the server says {error.code} {error.reason}") from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as error:
        why = str(getattr(error, "reason", "") or error) or type(error).__name__
        raise DownloadError(f"no way to fetch {url}: {why}") from error
    if total is not None and part.stat().st_size != total:
        raise DownloadError(f"{part.stat().st_size:,} of {total:,} bytes of {url}", "all of them", "run it again")
    return None


def _pieces(answer: Any) -> Iterator[bytes]:
    while piece := answer.read(PIECE):
        yield piece


def _write(part: Path, pieces: Iterable[bytes], append: bool) -> None:
    with part.open("ab" if append else "wb") as file:
        for piece in pieces:
            try:
                file.write(piece)
            except OSError as error:
                raise storage_error(part, error) from error
