"""Where a Label Studio task's image comes from: a document root, or the Label Studio server itself."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.error
import urllib.request
from io import BytesIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlparse, urlsplit

from segue.core.errors import DownloadError, ImageError, MissingFile
from segue.core.types import Image
from segue.data.io.image import read_image

LARGEST = 200_000_000  # bytes of one image file
_TIMEOUT = 60
_LOCAL = "/data/local-files/"


class ImageSource:
    """Task images by the address that Label Studio gives them.

    ``/data/local-files/?d=…`` and plain paths are looked up below ``root`` and nowhere else. Uploads and
    ``http(s)`` addresses are fetched from the server ``url`` (with its ``token``) and from no other host.

    >>> ImageSource().read("/data/upload/1/a.jpg")
    Traceback (most recent call last):
    segue.core.errors.MissingFile: got the image /data/upload/1/a.jpg of Label Studio, which is not there; \
expected the address of the server that holds it. Give --label-studio URL and set LABEL_STUDIO_API_KEY.
    """

    def __init__(self, root: Path | None = None, url: str = "", token: str = "") -> None:
        self.root = root.resolve() if root is not None else None
        self.url, self._token = url.rstrip("/"), token
        self._access = ""
        self._lock = threading.Lock()

    def read(self, address: str) -> Image:
        """(H, W, 3) uint8. Raises ``MissingFile``, ``ImageError`` or ``DownloadError``."""
        path = self.path(address)
        if path is not None:
            return read_image(path)
        with NamedTemporaryFile(suffix=Path(urlsplit(address).path).suffix) as file:
            file.write(self.download(address))
            file.flush()
            return read_image(file.name)

    def content(self, address: str) -> bytes:
        """The image file's bytes."""
        path = self.path(address)
        return self.download(address) if path is None else path.read_bytes()

    def path(self, address: str) -> Path | None:
        """The file below the root, or None where the server has to be asked."""
        parsed = urlparse(address)
        if parsed.scheme in ("http", "https") or parsed.path.startswith("/data/upload/"):
            return None
        if parsed.scheme not in ("", "file"):
            raise ImageError(
                f"the image {address}",
                "a local file, an upload or an http address",
                "Serve it through Label Studio (presigned URLs)",
            )
        name = parse_qs(parsed.query).get("d", [""])[0] if parsed.path == _LOCAL else unquote(parsed.path)
        if self.root is None:
            if self.url:
                return None
            raise MissingFile(f"the local file {name}", "the document root that it lies under", "give --root FOLDER")
        path = (self.root / name.lstrip("/")).resolve()
        if not path.is_relative_to(self.root):
            raise ImageError(f"the path {name}", f"a file below {self.root}")
        if not path.is_file():
            raise MissingFile(f"{name} below {self.root}", "the task's image", "check --root")
        return path

    def download(self, address: str) -> bytes:
        """Fetch from the Label Studio server. Raises ``DownloadError``."""
        if not self.url:
            raise MissingFile(
                f"the image {address} of Label Studio",
                "the address of the server that holds it",
                "give --label-studio URL and set LABEL_STUDIO_API_KEY",
            )
        here, own = urlsplit(address), urlsplit(self.url)
        if here.netloc and here.netloc != own.netloc:
            raise DownloadError(f"the image {address}", f"one on {own.netloc}", "other hosts are not asked")
        query = f"?{here.query}" if here.query else ""
        target = f"{own.scheme}://{own.netloc}{own.path}{quote(unquote(here.path))}{query}"
        request = urllib.request.Request(target)
        for name, value in self._headers().items():  # a redirect to a storage must not carry them along
            request.add_unredirected_header(name, value)
        content = _open(request, target)
        if len(content) > LARGEST:
            raise ImageError(f"{target} of more than {LARGEST:,} bytes", "a smaller image")
        return content

    def _headers(self) -> dict[str, str]:
        if not self._token:
            return {}
        if self._token.count(".") != 2:  # a legacy token
            return {"Authorization": f"Token {self._token}"}
        with self._lock:
            if not _lives(self._access):
                body = json.dumps({"refresh": self._token}).encode()
                target = f"{self.url}/api/token/refresh"
                request = urllib.request.Request(target, body, {"Content-Type": "application/json"})
                self._access = str(json.loads(_open(request, target))["access"])
            return {"Authorization": f"Bearer {self._access}"}


def _open(request: urllib.request.Request, target: str) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            content: bytes = answer.read(LARGEST + 1)
            return content
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise DownloadError(
            f"no answer from {target} ({error})", "Label Studio's file", "check --label-studio and LABEL_STUDIO_API_KEY"
        ) from error


def _lives(token: str) -> bool:
    """Whether a JSON web token is good for another half minute; nothing is trusted because of it."""
    if not token:
        return False
    body = token.split(".")[1]
    claims: dict[str, Any] = json.load(BytesIO(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))))
    return float(claims.get("exp", 0)) > time.time() + 30
