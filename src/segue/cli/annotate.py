"""The browser annotator's command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Choice, Json, choosing_model, report
from segue.core.errors import MissingExtra


@choosing_model
def annotate(
    folder: Annotated[Path | None, typer.Argument(help="Folder of images; the bundled samples without one.")] = None,
    port: Annotated[int, typer.Option("--port", help="Port of the page; 0 for any free one.")] = 8788,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than this machine's demand a token.")
    ] = "127.0.0.1",
    db: Annotated[str | None, typer.Option("--db", help="Database address; default: FOLDER/.segue/project.db.")] = None,
    token: Annotated[str | None, typer.Option("--token", help="Secret of the page; made when one is needed.")] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    click_model: Annotated[
        str, typer.Option("--click-model", help="Corrects the masks of a model that takes words but no clicks.")
    ] = "nano",
    import_files: Annotated[
        list[Path] | None,
        typer.Option("--import", metavar="FILE", help="Add the masks of a COCO .json or label map .png; repeatable."),
    ] = None,
    export: Annotated[
        str | None, typer.Option("--export", metavar="FORMAT", help="Write the masks and end: coco, png, yolo ...")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of --export.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Export images that are not accepted too.")] = False,
    *,
    choice: Choice,
    json_to: Json = None,
) -> None:
    """Open a folder of images in the browser annotator; or import and export its masks."""
    from segue.annotator.config import AnnotateConfig

    config = AnnotateConfig.from_fields(
        folder=folder,
        port=port,
        host=host,
        db=db,
        token=token,
        open_browser=browser,
        click_model=click_model,
        **choice,
    )
    try:
        from segue.annotator.app import serve
        from segue.annotator.exchange import ExchangeConfig, run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("segue"):
            raise
        raise MissingExtra.for_library(error.name, "annotator") from error
    if import_files or export:
        report(
            run(
                ExchangeConfig.from_fields(
                    project=config, files=import_files or [], export=export, output=output, everything=everything
                )
            ),
            json_to,
            "annotate",
        )
        return
    serve(config)
