"""Commands that are shown an example: find it in other images, follow it through a video, measure how well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.options import Choice, Json, Output, choosing_model, numbers, report

ReferenceImage = Annotated[Path, typer.Option("--reference", help="The example: an image that shows the object.")]
Mask = Annotated[Path | None, typer.Option("--mask", help="The object's mask; several labels are several objects.")]
ReferenceBox = Annotated[str | None, typer.Option("--box", metavar="X0,Y0,X1,Y1", help="Instead: a box around it.")]
ReferenceClick = Annotated[
    list[str] | None, typer.Option("--click", metavar="X,Y", help="Instead: a click on it; repeatable.")
]
OffClick = Annotated[
    list[str] | None, typer.Option("--background-click", metavar="X,Y", help="A click off it; repeatable.")
]


@choosing_model
def find(
    images: Annotated[list[str], typer.Argument(help="Images, folders or patterns to look in.")],
    reference: ReferenceImage,
    output: Output,
    mask: Mask = None,
    box: ReferenceBox = None,
    click: ReferenceClick = None,
    background_click: OffClick = None,
    fit_scale: Annotated[
        bool, typer.Option("--fit-scale", help="PerSAM-F: learn which of a SAM's three scales is meant.")
    ] = False,
    contact_sheet: Annotated[
        Path | None, typer.Option("--contact-sheet", help="Also write one picture of all the results.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="Least score of a find, 0 to 1; default: the finder's own.")
    ] = None,
    instances: Annotated[int, typer.Option("--instances", min=1, help="How many of it an image may show.")] = 1,
    *,
    choice: Choice,
    json_to: Json = None,
) -> None:
    """Find an object, shown once, in other images; say where it is not."""
    from segue.jobs.find import FindConfig
    from segue.jobs.find import find as run

    config = FindConfig.from_fields(
        images=tuple(images),
        output=output,
        contact_sheet=contact_sheet,
        threshold=threshold,
        instances=instances,
        fit_scale=fit_scale,
        **_shown(reference, mask, box, click, background_click),
        **choice,
    )
    result = run(config)
    report(result if json_to is not None else _in_short(result), json_to, "find")


@choosing_model
def track(
    frames: Annotated[Path, typer.Argument(help="A folder of frames or a video file.")],
    reference: ReferenceImage,
    output: Output,
    mask: Mask = None,
    box: ReferenceBox = None,
    click: ReferenceClick = None,
    background_click: OffClick = None,
    target: Annotated[
        Path | None, typer.Option("--truth", help="Folder of true masks to measure J and F against.")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method", help="outline; flow: without the model's outline; clicks: the same again (the baseline)."
        ),
    ] = "outline",
    overlays: Annotated[bool, typer.Option("--overlays", help="Also write every frame with its mask.")] = False,
    *,
    choice: Choice,
    json_to: Json = None,
) -> None:
    """Follow an object, shown in one frame, through a video."""
    from segue.jobs.track import TrackConfig
    from segue.jobs.track import track as run

    config = TrackConfig.from_fields(
        frames=frames,
        output=output,
        target=target,
        method=method,
        overlays=overlays,
        **_shown(reference, mask, box, click, background_click),
        **choice,
    )
    result = run(config)
    shown = result if json_to is not None else {k: v for k, v in result.items() if k != "rows"}
    report(shown, json_to, "track")


@choosing_model
def one_shot(
    data: Annotated[Path, typer.Option("--data", help="Folder of the data set.")],
    layout: Annotated[
        str, typer.Option("--layout", help="perseg, fss, pascal-part, coco (LVIS-92i, PACO-Part), or auto.")
    ] = "auto",
    split: Annotated[str | None, typer.Option("--split", help="Part of the data set, where it has parts.")] = None,
    episodes: Annotated[
        Path | None, typer.Option("--episodes", help="File of JSON lines: class, reference, query.")
    ] = None,
    queries: Annotated[
        int | None, typer.Option("--queries", help="Queries drawn for each class; default: all, first is shown.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the drawing.")] = 0,
    fold: Annotated[int | None, typer.Option("--fold", help="Every tenth class from this one (LVIS-92i).")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Episodes at most.")] = None,
    shown_as: Annotated[str, typer.Option("--shown-as", help="mask, box or click: what the reference is.")] = "mask",
    method: Annotated[
        str, typer.Option("--method", help="find, or clicks: those of the reference again (the baseline).")
    ] = "find",
    fit_scale: Annotated[bool, typer.Option("--fit-scale", help="PerSAM-F's two weights.")] = False,
    threshold: Annotated[float | None, typer.Option("--threshold", help="Least score of a find.")] = None,
    masks: Annotated[Path | None, typer.Option("--masks", help="Keep the predicted masks in this folder.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for results and episodes.")] = None,
    *,
    choice: Choice,
    json_to: Json = None,
) -> None:
    """Measure one-shot segmentation: show a class once, find it in the queries."""
    from segue.jobs.one_shot import OneShotConfig
    from segue.jobs.one_shot import one_shot as run

    config = OneShotConfig.from_fields(
        data=data,
        layout=layout,
        split=split,
        episodes=episodes,
        queries=queries,
        seed=seed,
        fold=fold,
        limit=limit,
        reference=shown_as,
        method=method,
        fit_scale=fit_scale,
        threshold=threshold,
        masks=masks,
        output=output,
        **choice,
    )
    result = run(config)
    shown = result if json_to is not None else {k: v for k, v in result.items() if k != "per_query"}
    report(shown, json_to, "one-shot")


def _shown(
    reference: Path, mask: Path | None, box: str | None, click: list[str] | None, off: list[str] | None
) -> dict[str, object]:
    return {
        "reference": reference,
        "mask": mask,
        "box": numbers(box, 4) if box else None,
        "clicks": tuple(numbers(c, 2) for c in click or ()),
        "background_clicks": tuple(numbers(c, 2) for c in off or ()),
    }


def _in_short(result: dict[str, object]) -> dict[str, object]:
    rows = result["images"]
    assert isinstance(rows, list)
    found = {row["image"]: ", ".join(f"{h['object']}: {h['score']:.2f}" for h in row["found"]) or "-" for row in rows}
    return {k: v for k, v in result.items() if k != "images"} | {"images": found}
