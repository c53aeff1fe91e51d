"""Addresses of the proposals for an image."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from segue.annotator.proposing import ProposeService
from segue.annotator.routes import PROBLEMS, Big, ImageId
from segue.annotator.schemas_jobs import ProposalsOut

router = APIRouter(prefix="/api", responses=PROBLEMS)


def propose_service_of(request: Request) -> ProposeService:
    """What proposes objects for the project's images."""
    service: ProposeService = request.app.state.propose_service
    return service


Proposing = Annotated[ProposeService, Depends(propose_service_of)]


@router.get("/images/{image_id}/proposals")
def proposals(service: Proposing, image_id: ImageId, frame: Big | None = None) -> ProposalsOut:
    """How far the search for objects is, and once it is done what it found, the surest first."""
    return service.state(image_id, frame)


@router.post("/images/{image_id}/proposals")
def start_proposing(service: Proposing, image_id: ImageId, frame: Big | None = None) -> ProposalsOut:
    """Look for every object of the image, in the background; nothing is saved."""
    return service.start(image_id, frame)


@router.delete("/images/{image_id}/proposals", status_code=204)
def stop_proposing(service: Proposing, image_id: ImageId, frame: Big | None = None) -> None:
    """Put the proposals away; a search that runs ends."""
    service.stop(image_id, frame)
