"""What ``segue annotate`` takes."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import Field

from segue.core.files import cache_folder
from segue.session.config import CommandLine, WordsChoice

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


class AnnotateConfig(WordsChoice):
    """Where the images are, where the work is kept, and who may reach the page.

    ``db`` is an SQLAlchemy address; by default a file ``.segue/project.db`` inside the folder (for the samples: in the
    user's own data folder). A ``host`` other than this machine demands a ``token``; one is made when none is given.

    >>> AnnotateConfig(folder="photos").database
    'sqlite:///photos/.segue/project.db'
    """

    folder: Annotated[
        Path | None,
        Field(description="Folder of images; the bundled samples without one."),
        CommandLine(positional=True),
    ] = None
    port: Annotated[int, Field(description="Port of the page; 0 for any free one.", ge=0, le=65535)] = 8788
    host: Annotated[str, Field(description="Address to listen on; others than this machine's demand a token.")] = (
        "127.0.0.1"
    )
    db: Annotated[str | None, Field(description="Database address; without it FOLDER/.segue/project.db.")] = None
    token: Annotated[str | None, Field(description="Secret of the page; made when one is needed.")] = None
    frames: Annotated[
        bool, Field(description="Take every folder of numbered pictures, and every DICOM series, as one clip.")
    ] = False
    browser: Annotated[bool, Field(description="Open the page in a browser.")] = True
    prefetch: Annotated[int, Field(description="Images encoded ahead.", ge=0, le=20), CommandLine(hidden=True)] = 2
    max_upload: Annotated[int, Field(description="Most bytes of an upload.", ge=1), CommandLine(hidden=True)] = 2**26
    max_pixels: Annotated[int, Field(description="Most pixels of an image.", ge=1), CommandLine(hidden=True)] = (
        150_000_000
    )
    memory: Annotated[
        int, Field(description="Bytes of photos, decoded and encoded, in memory.", ge=1), CommandLine(hidden=True)
    ] = 3 * 2**28

    @property
    def images(self) -> Path:
        """The folder that is opened."""
        return self.folder or SAMPLES

    @property
    def home(self) -> Path:
        """Where the default database and the thumbnails live."""
        if self.folder is not None:
            return self.folder / ".segue"
        return cache_folder("samples", "XDG_DATA_HOME", "~/.local/share")

    @property
    def database(self) -> str:
        """The SQLAlchemy address in use."""
        return self.db or f"sqlite:///{self.home / 'project.db'}"

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the page."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
