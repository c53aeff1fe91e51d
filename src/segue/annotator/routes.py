"""The server's addresses. Each does nothing but translate between HTTP and ``Project``."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import Field

from segue.annotator import lists, polygons, schemas, schemas_actions
from segue.annotator.actions import Window
from segue.annotator.codec import Key
from segue.annotator.project import Project
from segue.annotator.store import Conflict
from segue.annotator.thumbnails import drawn
from segue.core.errors import MissingFile, SegueError, StorageError

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.Problem, "description": text}
    for status, text in {
        400: "The request is no JSON that can be read",
        404: "No such image, object or class",
        409: "Changed or held elsewhere; nothing was written",
        413: "Too large",
        422: "The request is wrong; the message says how to mend it",
        507: "The work could not be saved; what was saved before is intact",
    }.items()
}
STATUS: tuple[tuple[type[SegueError], int], ...] = (
    (Conflict, 409),
    (MissingFile, 404),
    (StorageError, 507),
    (SegueError, 422),
)
LINES = "application/x-ndjson"
MOMENT = 0.1  # seconds; what a page that went away may cost
router = APIRouter(prefix="/api", responses=PROBLEMS)

ImageId = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="An image of the folder")]
Big = Annotated[int, Query(ge=0, le=2**31 - 1)]


def problem_of(error: SegueError) -> tuple[int, schemas.Problem]:
    """The HTTP status of an error, and the error as a message."""
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    return status, schemas.Problem(message=str(error), arrived=error.arrived, expected=error.expected, fix=error.fix)


def project_of(request: Request) -> Project:
    """The one project that this server has open."""
    project: Project = request.app.state.project
    return project


def window_of(
    segue_window: Annotated[
        str, Header(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Random id of the browser tab")
    ] = "api",
    segue_name: Annotated[str, Header(max_length=60, description="Shown to others, percent-encoded")] = "",
) -> Window:
    """The window that asks."""
    return Window(segue_window, unquote(segue_name))


class ListPage(lists.ListFilter):
    """A part of a list."""

    offset: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 200


class ListStep(lists.ListFilter):
    """A step in a list."""

    of: Annotated[int, Field(ge=0, le=2**31 - 1)]
    step: Literal["1", "-1"] = "1"


Open = Annotated[Project, Depends(project_of)]
Who = Annotated[Window, Depends(window_of)]
Accept = Annotated[str, Header(include_in_schema=False)]


@router.get("/project")
def overview(project: Open) -> schemas.ProjectOut:
    """Classes, settings, counts, effort and the model."""
    return project.overview()


@router.get("/images")
def images(project: Open, wanted: Annotated[ListPage, Query()]) -> schemas.ImagePage:
    """A part of the image list, filtered and sorted."""
    return lists.page(project, wanted, wanted.offset, wanted.limit)


@router.get("/images/neighbour")
def neighbour(project: Open, wanted: Annotated[ListStep, Query()]) -> schemas.Neighbour:
    """The next (or previous) image after ``of`` in the same list."""
    return schemas.Neighbour(id=lists.neighbour(project, wanted.of, int(wanted.step), wanted))


@router.get("/people")
def people(project: Open) -> list[str]:
    """Names of those who have worked on images."""
    with project.store.read() as db:
        return lists.people(db)


@router.post("/bulk")
def bulk(project: Open, who: Who, request: lists.Bulk) -> lists.BulkOut:
    """One change of many images, each an action of its own."""
    return lists.bulk(project, who, request)


@router.get("/images/{image_id}")
def look(project: Open, who: Who, image_id: ImageId, frame: Big | None = None) -> schemas.ImageOut:
    """One image with its objects, of a clip one ``frame``; nothing is claimed and nothing encoded."""
    return project.look(image_id, who, frame)


@router.post("/images/{image_id}/open")
def open_image(project: Open, who: Who, image_id: ImageId, claim: schemas.Claim) -> schemas.ImageOut:
    """Work on an image: hold it if it is free (or with ``force``), encode it first and the next ones after it."""
    return project.open(image_id, who, force=claim.force, frame=claim.frame)


@router.post("/images/{image_id}/hold", status_code=204)
def hold(project: Open, who: Who, image_id: ImageId) -> None:
    """Hold the image for another 45 seconds."""
    project.claim(image_id, who)


@router.delete("/images/{image_id}/hold", status_code=204)
def let_go(project: Open, who: Who, image_id: ImageId) -> None:
    """Let the image go."""
    project.release(image_id, who)


@router.post(
    "/images/{image_id}/actions",
    response_model=schemas.Outcome,
    responses={200: {"content": {LINES: {"schema": {"type": "string"}}}}},
)
async def act(project: Open, who: Who, image_id: ImageId, request: schemas_actions.Act, accept: Accept = "") -> Any:
    """Carry out one action; the answer is sent after the action and its journal entry are saved.

    A page that accepts lines of JSON gets the model's mask in the first line, ``{"early": ...}``, while it is being
    saved, and ``{"outcome": ...}`` or ``{"problem": ...}`` in the last.
    """
    if LINES not in accept:
        return await run_in_threadpool(project.actions.act, image_id, who, request)
    loop = asyncio.get_running_loop()
    early: asyncio.Future[schemas.Early] = loop.create_future()
    sent = threading.Event()

    def emit(answer: schemas.Early) -> None:
        loop.call_soon_threadsafe(early.set_result, answer)
        sent.wait(MOMENT)  # saving at once would keep the interpreter from sending it

    saving = asyncio.ensure_future(run_in_threadpool(project.actions.act, image_id, who, request, emit))
    await asyncio.wait((early, saving), return_when=asyncio.FIRST_COMPLETED)
    return StreamingResponse(_lines(early, sent, saving), media_type=LINES) if early.done() else await saving


@router.post("/images/{image_id}/guesses", status_code=202)
def guess(project: Open, who: Who, image_id: ImageId, request: schemas_actions.Guess) -> None:
    """Let the model begin with an answer that is not asked for yet: a button went down. Nothing is saved."""
    project.actions.guess(image_id, who, request)


@router.post("/images/{image_id}/preview")
def preview(project: Open, who: Who, image_id: ImageId, request: schemas_actions.Guess) -> schemas.Preview | None:
    """The mask that a prompt would give, for a pointer that rests; null while anything else is waited for."""
    return project.actions.preview(image_id, who, request)


async def _lines(
    early: asyncio.Future[schemas.Early], sent: threading.Event, saving: asyncio.Future[schemas.Outcome]
) -> AsyncIterator[str]:
    yield f'{{"early":{early.result().model_dump_json()}}}\n'
    sent.set()
    try:
        outcome = await asyncio.shield(saving)  # a page that goes away does not stop it
        yield f'{{"outcome":{outcome.model_dump_json()}}}\n'
    except SegueError as error:
        status, problem = problem_of(error)
        yield f'{{"problem":{problem.model_dump_json()},"status":{status}}}\n'


@router.get(
    "/images/{image_id}/photo",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/png": {}, "image/webp": {}}}},
)
def photo(
    project: Open, image_id: ImageId, stamp: Annotated[str, Query(max_length=80)] = "", frame: Big | None = None
) -> Response:
    """The image, or a clip's ``frame``, as a browser can show it, upright, at its own size; with its ``stamp`` it may
    be kept."""
    content, kind = project.library.photo(project.path_of(image_id, frame))
    headers = {"cache-control": "private, max-age=3600" if stamp else "no-cache"}
    if isinstance(content, Path):
        return FileResponse(content, media_type=kind, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@router.get("/images/{image_id}/thumbnail", response_class=Response, responses={200: {"content": {"image/jpeg": {}}}})
def thumbnail(project: Open, image_id: ImageId, masks: Big | None = None) -> Response:
    """A small JPEG; with ``masks``, the newest journal entry that the page knows, the masks are drawn on it."""
    content = project.library.thumbnail(project.path_of(image_id)) if masks is None else drawn(project, image_id)
    return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


@router.get("/images/{image_id}/journal")
def image_journal(
    project: Open, image_id: ImageId, after: Big = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> list[schemas.EntryOut]:
    """What happened to an image, oldest first."""
    project.path_of(image_id)
    return project.journal(image_id, after, limit)


@router.get("/images/{image_id}/objects/{object_id}/polygon")
def polygon(
    project: Open,
    image_id: ImageId,
    object_id: Key,
    tolerance: Annotated[float, Query(ge=0, le=50, allow_inf_nan=False)] = 1.0,
    frame: Big | None = None,
) -> schemas.PolygonOut:
    """An object as polygons with holes, simplified by at most ``tolerance`` pixels; the mask is not changed."""
    return polygons.polygon_of(project, image_id, object_id, tolerance, frame)


@router.get("/images/{image_id}/objects/{object_id}/shape")
def shape(
    project: Open,
    image_id: ImageId,
    object_id: Key,
    how: schemas_actions.Rule,
    amount: Annotated[float, Query(ge=0, le=100_000_000, allow_inf_nan=False)],
    frame: Big | None = None,
) -> schemas.Preview:
    """The mask that a rule would leave; nothing is changed."""
    return polygons.preview(project, image_id, object_id, how, amount, frame)


@router.get("/journal")
def whole_journal(
    project: Open, after: Big = 0, limit: Annotated[int, Query(ge=1, le=1000)] = 200
) -> list[schemas.EntryOut]:
    """What happened in the project, oldest first."""
    return project.journal(None, after, limit)


@router.get("/status")
def status(
    request: Request,
    project: Open,
    who: Who,
    image: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    frame: Big | None = None,
) -> schemas.Status:
    """What the model and the background are doing, and whether ``image`` (of a clip ``frame``) changed."""
    answer = project.status(image, who, frame)
    service, importing = request.app.state.adapt_service, request.app.state.import_service
    propagating = request.app.state.propagate_service.task
    tasks = (("adapt", service.adapting), ("find", service.finding), ("import", importing), ("propagate", propagating))
    for kind, task in tasks:
        answer.background.append(
            schemas.BackgroundOut(kind=kind, state=task.state, progress=task.progress, message=task.message)
        )
    if image is not None:
        search = request.app.state.propose_service.state(image, frame)
        answer.background.append(
            schemas.BackgroundOut(kind="propose", state=search.state, progress=search.progress, message=search.message)
        )
    return answer


@router.post("/labels")
def labels(project: Open, who: Who, request: schemas.LabelIn) -> list[schemas.LabelOut]:
    """Add, change or remove a class."""
    return project.set_label(who.id, request)


@router.post("/settings", status_code=204)
def settings(project: Open, who: Who, request: schemas.SettingsIn) -> None:
    """Change project-wide settings."""
    project.set_settings(who.id, request)


@router.post("/model")
def model(project: Open, request: schemas.ModelSwitch) -> schemas.ModelOut:
    """Switch the model off (its memory is freed) or on."""
    project.worker.switch(request.on)
    return project.model_out()
