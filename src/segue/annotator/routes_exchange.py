"""Import, export, and the loop: adapting the model and finding an object in other images."""

from __future__ import annotations

import shutil
from typing import Annotated

from fastapi import APIRouter, File, Query, Response, UploadFile
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from segue.annotator import exchange, schemas
from segue.annotator.routes import PROBLEMS, Open, Who

router = APIRouter(prefix="/api", responses=PROBLEMS)


@router.get("/formats")
def formats() -> list[schemas.FormatOut]:
    """What can be exported."""
    return exchange.formats()


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
    path, name = exchange.packed_export(project, format, accepted=accepted)
    home = next(parent for parent in path.parents if parent.name.startswith("segue-export-"))
    return FileResponse(path, filename=name, background=BackgroundTask(shutil.rmtree, home, ignore_errors=True))


@router.post("/import")
def import_masks(
    project: Open, who: Who, files: Annotated[list[UploadFile], File(max_length=1000)]
) -> schemas.Imported:
    """Add the objects of COCO files and PNG label maps to the images of the same names."""
    return exchange.import_files(project, [(file.filename or "", file.file.read()) for file in files], who.id)
