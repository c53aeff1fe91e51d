"""What ``segue annotate`` takes."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from segue.annotator.words import WordsThenClicks
from segue.core.segmenter import Segmenter
from segue.core.types import Click
from segue.session.config import ModelChoice
from segue.session.load import load

SAMPLES = Path(__file__).resolve().parents[1] / "samples"


class AnnotateConfig(ModelChoice):
    """Where the images are, where the work is kept, and who may reach the page.

    Without ``folder`` the bundled sample photos are opened. ``db`` is an SQLAlchemy address; by default a file
    ``.segue/project.db`` inside the folder (for the samples: in the user's own data folder). A ``host`` other
    than this machine demands a ``token``; one is made when none is given. ``max_upload`` is in bytes,
    ``max_pixels`` per image, ``features`` the bytes of encoded images kept in memory. Where ``model`` takes words but
    no clicks, ``click_model`` (a registry name, folder or hub id) corrects its masks.

    >>> AnnotateConfig(folder="photos").database
    'sqlite:///photos/.segue/project.db'
    """

    folder: Path | None = None
    click_model: str = "nano"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8788
    db: str | None = None
    token: str | None = None
    open_browser: bool = True
    prefetch: Annotated[int, Field(ge=0, le=20)] = 2
    max_upload: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    max_pixels: Annotated[int, Field(ge=1)] = 150_000_000
    features: Annotated[int, Field(ge=1)] = 1024**3

    def load(self) -> Segmenter:
        """The model, able to answer clicks; errors are ``segue.load``'s."""
        model = super().load()
        if Click in model.accepts:
            return model
        return WordsThenClicks(model, load(self.click_model, device=self.device)).eval()

    @property
    def images(self) -> Path:
        """The folder that is opened."""
        return self.folder or SAMPLES

    @property
    def home(self) -> Path:
        """Where the default database and the thumbnails live."""
        if self.folder is not None:
            return self.folder / ".segue"
        data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
        return Path(data) / "segue" / "samples"

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
