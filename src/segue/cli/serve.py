"""Commands that serve other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Choice, choosing_model


@choosing_model
def serve(
    tool: Annotated[str, typer.Argument(help="label-studio.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 9090,
    root: Annotated[Path | None, typer.Option("--root", help="Document root of Label Studio's local files.")] = None,
    label_studio: Annotated[
        str, typer.Option("--label-studio", help="Address of the Label Studio server, for uploaded images.")
    ] = "",
    collect: Annotated[
        Path | None, typer.Option("--collect", help="Keep reported annotations here, for segue adapt.")
    ] = None,
    *,
    choice: Choice,
) -> None:
    """Answer another tool's requests: a Label Studio ML backend."""
    from segue.integrations.serve import ServeConfig
    from segue.integrations.serve import serve as run

    config = ServeConfig.from_fields(
        tool=tool,
        host=host,
        port=port,
        root=root,
        label_studio=label_studio,
        collect=collect,
        **choice,
    )
    run(config)
