"""Commands that make masks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Choice, Json, choosing_model, numbers, report


@choosing_model
def mask(
    image: Annotated[Path, typer.Argument(help="The photograph.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The mask, a PNG of 0 and 255.")],
    click: Annotated[
        list[str] | None, typer.Option("--click", metavar="X,Y", help="On the object; repeatable.")
    ] = None,
    background_click: Annotated[
        list[str] | None, typer.Option("--background-click", metavar="X,Y", help="Off the object; repeatable.")
    ] = None,
    box: Annotated[str | None, typer.Option("--box", metavar="X0,Y0,X1,Y1", help="Around the object.")] = None,
    text: Annotated[str | None, typer.Option("--text", help="What to segment, in words.")] = None,
    overlay: Annotated[Path | None, typer.Option("--overlay", help="Also write the mask drawn on the photo.")] = None,
    cache: Annotated[
        str | None, typer.Option("--cache", help="Features that segue encode made, folder or URL.")
    ] = None,
    *,
    choice: Choice,
    json_to: Json = None,
) -> None:
    """Segment one image with clicks, a box or words."""
    from segue.jobs.mask import MaskConfig
    from segue.jobs.mask import mask as run

    config = MaskConfig.from_fields(
        image=image,
        output=output,
        overlay=overlay,
        clicks=[numbers(c, 2) for c in click or ()],
        background_clicks=[numbers(c, 2) for c in background_click or ()],
        box=numbers(box, 4) if box else None,
        text=text,
        cache=cache,
        **choice,
    )
    report(run(config), json_to, "mask")
