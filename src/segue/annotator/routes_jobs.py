"""Addresses of import, export, adapting the model and finding an object in other images."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path, PurePosixPath
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, File, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from segue.annotator import exporting, schemas
from segue.annotator import schemas_jobs as messages
from segue.annotator import statistics as numbers
from segue.annotator.adapt_service import AdaptService
from segue.annotator.importing import ImportService
from segue.annotator.propagating import PropagateService
from segue.annotator.routes import PROBLEMS, ImageId, Open, Who
from segue.annotator.statistics import StatisticsOut

router = APIRouter(prefix="/api", responses=PROBLEMS)


def adapt_service_of(request: Request) -> AdaptService:
    """What adapts and finds for the project."""
    service: AdaptService = request.app.state.adapt_service
    return service


def import_service_of(request: Request) -> ImportService:
    """What imports into the project."""
    service: ImportService = request.app.state.import_service
    return service


def propagate_service_of(request: Request) -> PropagateService:
    """What propagates through the project's clips."""
    service: PropagateService = request.app.state.propagate_service
    return service


Propagating = Annotated[PropagateService, Depends(propagate_service_of)]
Importing = Annotated[ImportService, Depends(import_service_of)]
Adapting = Annotated[AdaptService, Depends(adapt_service_of)]


@router.get("/statistics")
def statistics(project: Open) -> StatisticsOut:
    """Objects, pixels, clicks and seconds by class, by day and by adapter, and how far two people agree."""
    return numbers.statistics(project)


@router.get("/statistics.csv", response_class=Response, responses={200: {"content": {"text/csv": {}}}})
def statistics_table(project: Open) -> Response:
    """The same as one table."""
    name = quote(f"{project.library.folder.name}-statistics.csv")
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{name}"}
    return Response(numbers.as_csv(numbers.statistics(project)), media_type="text/csv", headers=headers)


@router.get("/formats")
def formats(project: Open) -> list[messages.FormatOut]:
    """What can be exported; layouts of videos where the project has clips."""
    return exporting.formats() + (exporting.clip_formats() if exporting.has_clips(project) else [])


@router.get(
    "/export",
    response_class=Response,
    responses={200: {"content": {"application/json": {}, "application/zip": {}}}},
)
def export(
    project: Open,
    format: Annotated[str, Query(max_length=40, pattern=r"^[a-z0-9-]+$")] = "coco",
    accepted: bool = True,
) -> Response:
    """All masks as one file to download."""
    path, name, exported = exporting.packed_export(project, format, accepted=accepted)
    home = next(parent for parent in path.parents if parent.name.startswith("segue-export-"))
    notice = {"segue-notice": quote(str(exported))}
    return FileResponse(
        path, filename=name, headers=notice, background=BackgroundTask(shutil.rmtree, home, ignore_errors=True)
    )


@router.get("/import")
def import_state(importing: Importing) -> messages.ImportOut:
    """How importing goes, and what the last import did."""
    return importing.out()


@router.post("/import")
def import_masks(
    importing: Importing, who: Who, files: Annotated[list[UploadFile], File(max_length=1000)]
) -> messages.ImportOut:
    """Add the objects of annotation files, label maps, and ZIPs of any format to the images of the same names, in the
    background."""
    home = Path(tempfile.mkdtemp(prefix="segue-import-"))
    paths = []
    for number, file in enumerate(files):
        name = PurePosixPath((file.filename or "file").replace("\\", "/")).name
        paths.append(home / str(number) / (name or "file"))
        paths[-1].parent.mkdir()
        with paths[-1].open("wb") as copy:
            shutil.copyfileobj(file.file, copy)
    importing.start(paths, home, who.id)
    return importing.out()


@router.get("/adapt")
def adapt_state(service: Adapting) -> messages.AdaptOut:
    """How training goes, and what the newest adapter gained."""
    return service.adapt_state()


@router.post("/adapt")
def adapt(service: Adapting, request: messages.AdaptIn) -> messages.AdaptOut:
    """Train an adapter from the accepted images, in the background."""
    service.adapt(request.minutes)
    return service.adapt_state()


@router.post("/adapt/stop")
def stop_adapting(service: Adapting) -> messages.AdaptOut:
    """End training; nothing of it is kept."""
    service.adapting.stop()
    return service.adapt_state()


@router.post("/adapt/use")
def use_adapter(service: Adapting, who: Who, request: messages.UseIn) -> messages.AdaptOut:
    """Switch the newest adapter on or off; masks that are saved stay as they are."""
    service.use(who.id, request.key, on=request.on)
    return service.adapt_state()


@router.get("/images/{image_id}/timeline")
def timeline(service: Propagating, image_id: ImageId) -> messages.TimelineOut:
    """A clip's key frames and propagated frames, and how propagation goes."""
    return service.timeline(image_id)


@router.post("/propagate/stop", status_code=204)
def stop_propagating(service: Propagating) -> None:
    """End the propagation; the frames that it reached stay."""
    service.task.stop()


@router.get("/find")
def find_state(service: Adapting) -> messages.FindOut:
    """How the search goes, and how many proposals wait."""
    return service.find_state()


@router.post("/find")
def find(service: Adapting, request: messages.FindIn) -> messages.FindOut:
    """Look for an object, or every one like it, in every image that is not finished."""
    service.find(request.image, request.object, every=request.every)
    return service.find_state()


@router.post("/find/stop")
def stop_finding(service: Adapting) -> messages.FindOut:
    """End the search; what it found stays."""
    service.finding.stop()
    return service.find_state()


@router.get("/find/next")
def next_finding(service: Adapting) -> schemas.FindingOut | None:
    """The proposal that waits longest, without its mask."""
    return service.next_finding()
