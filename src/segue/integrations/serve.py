"""Running a server for another tool: its configuration, and the safety of its address."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from segue.session.config import CommandLine, ModelChoice

PASSWORD, TOKEN = "SEGUE_SERVE_PASSWORD", "LABEL_STUDIO_API_KEY"


class ServeConfig(ModelChoice):
    """What ``segue serve`` takes. Off the loopback address a password is demanded (environment variable
    SEGUE_SERVE_PASSWORD); ``label_studio`` is the server's address, with LABEL_STUDIO_API_KEY for its files.

    >>> ServeConfig.from_fields(host="0.0.0.0")
    Traceback (most recent call last):
    segue.core.errors.ConfigError: without a password only this machine may connect: ...
    """

    tool: Annotated[Literal["label-studio"], Field(description="The tool to answer."), CommandLine(positional=True)] = (
        "label-studio"
    )
    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(description="Port to listen on.")] = 9090
    root: Annotated[Path | None, Field(description="Document root of Label Studio's local files.")] = None
    label_studio: Annotated[str, Field(description="Address of the Label Studio server, for uploaded images.")] = ""
    collect: Annotated[Path | None, Field(description="Keep reported annotations here, for segue adapt.")] = None

    @model_validator(mode="after")
    def _guarded(self) -> ServeConfig:
        if not is_loopback(self.host) and not os.environ.get(PASSWORD):
            raise ValueError(f"without a password only this machine may connect: set {PASSWORD}, or --host 127.0.0.1")
        return self


def serve(config: ServeConfig) -> None:
    """Load the model and answer until interrupted."""
    import uvicorn  # slow to import, as what it serves is; --help does without

    from segue.integrations.label_studio import Backend, create_app
    from segue.integrations.label_studio_files import ImageSource

    source = ImageSource(config.root, config.label_studio, os.environ.get(TOKEN, ""))
    app = create_app(Backend(config.load(), source, config.collect), os.environ.get(PASSWORD, ""))
    uvicorn.run(app, host=config.host, port=config.port, log_level="info")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach ``host``.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
