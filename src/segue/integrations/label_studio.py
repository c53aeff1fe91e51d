"""A Label Studio ML backend: smart key points and rectangles in, brush masks or polygons out.

Source of the HTTP contract: Label Studio's ML backend (health, setup, predict, webhook).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from segue import __version__
from segue.core.errors import ConfigError, DataError, SegueError
from segue.core.files import write_bytes
from segue.core.segmenter import Segmenter
from segue.core.types import digest
from segue.data.formats.base import outline
from segue.data.formats.label_studio import brush_result, polygon_result
from segue.data.formats.label_studio_address import LOCAL, image_name
from segue.data.formats.locate import safe_name
from segue.data.rle import Rle
from segue.integrations.label_studio_config import Interface, prompts_of
from segue.integrations.label_studio_files import ImageSource
from segue.session.memory_cache import MemoryCache
from segue.session.session import Session

CACHED = 8  # images whose pixels and features stay in memory
TOLERANCE = 1.0  # pixels that polygons may stray where the project draws with polygons
_OPEN = ("/health", "/")


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow")


class Setup(_Body):
    """What Label Studio sends when it connects."""

    project: str | int | None = None
    label_schema: str | None = Field(None, alias="schema")
    extra_params: Any = None


class Predict(_Body):
    """Tasks to predict; ``params.context.result`` holds what the smart tools drew."""

    tasks: list[dict[str, Any]]
    label_config: str | None = None
    project: str | int | None = None
    params: dict[str, Any] | None = None


class Webhook(_Body):
    """An event: ``action``, and with annotations the ``task`` and the ``annotation``."""

    action: str
    task: dict[str, Any] | None = None
    annotation: dict[str, Any] | None = None


class Backend:
    """One model that answers for any number of projects.

    Images come from ``source``; with ``collect`` every annotation that Label Studio reports is kept there as a
    data set of the format "label-studio", ready for ``segue adapt``. Calls may come from several threads.
    """

    def __init__(self, model: Segmenter, source: ImageSource, collect: Path | None = None) -> None:
        self.model, self.source, self.collect = model, source, collect
        name = type(model).__name__.lower()
        self.version = f"segue-{__version__}-{model.name or name}-{model.fingerprint()[:8]}"
        self._cache = MemoryCache(model, CACHED)
        self._lock = threading.Lock()
        self._schema = ""

    def setup(self, body: Setup) -> dict[str, Any]:
        """Remember the labelling interface, in case a later request has none."""
        self._schema = body.label_schema or self._schema
        return {"model_version": self.version}

    def predict(self, body: Predict) -> dict[str, Any]:
        """One answer a task; empty where nothing was clicked."""
        context = ((body.params or {}).get("context") or {}).get("result") or []
        empty = {"result": [], "score": 0.0, "model_version": self.version}
        if not context:
            return {"results": [empty for _ in body.tasks]}
        if len(body.tasks) != 1:
            raise DataError(f"a context for {len(body.tasks)} tasks", "one task a context")
        config = body.label_config or self._schema
        if not config:
            raise ConfigError("no labelling interface", "label_config, or a schema by /setup")
        interface = Interface.from_config(config)
        result, score = self._answer(body.tasks[0], context, interface)
        return {"results": [{"result": [result], "score": score, "model_version": self.version}]}

    def _answer(
        self, task: dict[str, Any], context: list[dict[str, Any]], interface: Interface
    ) -> tuple[dict[str, Any], float]:
        prompts, label, size = prompts_of(context)
        address = task.get("data", {}).get(interface.field)
        if not isinstance(address, str):
            raise DataError(f"a task without '{interface.field}'", "the address of its image under data")
        with self._lock:
            image, features = self._cache.get(address, lambda: self.source.read(address))
            if image.shape[:2] != size:
                raise DataError(
                    f"a click in an image of {size[1]} x {size[0]} pixels",
                    f"the file's size {image.shape[1]} x {image.shape[0]}",
                )
            session = Session(self.model, image, features=features)
            rle = Rle.from_mask(session.add(*prompts))
        if interface.labels and label not in interface.labels:
            label = interface.labels[0]
        drawn = brush_result(rle, label)
        if interface.kind == "polygonlabels" and rle.area:
            drawn = polygon_result(outline(rle, TOLERANCE, single=True).rings[0], rle.size, label)
        number = digest(rle.runs)[:10]
        return {
            "id": number,
            "from_name": interface.control,
            "to_name": interface.image,
            "origin": "prediction",
            "score": session.score,
            **drawn,
        }, session.score

    def webhook(self, body: Webhook) -> dict[str, Any]:
        """Keep or forget an annotation; training is the job of ``segue adapt``, and the answer says how."""
        if body.action == "START_TRAINING":
            folder = self.collect or "FOLDER"
            return {
                "status": "nothing started",
                "run": f"segue adapt --data {folder} --model {self.model.name} -o OUT",
            }
        if self.collect is None or body.task is None or body.annotation is None:
            return {"status": "seen"}
        file = self.collect / f"task-{safe_name(str(body.task.get('id', 0))).name}.json"
        if body.action == "ANNOTATION_DELETED":
            file.unlink(missing_ok=True)
            return {"status": "forgotten"}
        if body.action not in ("ANNOTATION_CREATED", "ANNOTATION_UPDATED"):
            return {"status": "seen"}
        address = next((v for v in body.task.get("data", {}).values() if isinstance(v, str)), None)
        if address is None:
            raise DataError("a task without an image", "its address under data")
        name = f"images/{Path(image_name(address)).name}"
        if not (self.collect / name).exists():
            write_bytes(self.collect / name, self.source.content(address))
        task = {"id": body.task.get("id"), "data": {"image": LOCAL + name}, "annotations": [body.annotation]}
        write_bytes(file, json.dumps([task]).encode())
        return {"status": "kept"}


def create_app(backend: Backend, password: str = "") -> FastAPI:
    """The ML backend as an application; with ``password`` every path but /health asks for it (user "segue").

    >>> from fastapi.testclient import TestClient
    >>> import segue
    >>> TestClient(create_app(Backend(segue.load("nano"), ImageSource()))).get("/health").json()["status"]
    'UP'
    """
    app = FastAPI(title="segue for Label Studio", version=__version__)
    started = time.time()

    @app.middleware("http")
    async def authenticate(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        if password and request.url.path not in _OPEN and not _knows(request, password):
            return JSONResponse({"detail": "user segue and the password, please"}, 401, {"WWW-Authenticate": "Basic"})
        return await call_next(request)

    @app.exception_handler(SegueError)
    async def refuse(request: Request, error: SegueError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 400)

    @app.get("/")
    @app.get("/health")
    def health() -> dict[str, Any]:
        """Whether the model is there."""
        return {
            "status": "UP",
            "model_class": type(backend.model).__name__,
            "model_version": backend.version,
            "seconds_up": round(time.time() - started),
        }

    @app.post("/setup")
    def setup(body: Setup) -> dict[str, Any]:
        """Connect a project."""
        return backend.setup(body)

    @app.post("/predict")
    def predict(body: Predict) -> dict[str, Any]:
        """Masks for what the smart tools drew."""
        return backend.predict(body)

    @app.post("/webhook", status_code=201)
    def webhook(body: Webhook) -> dict[str, Any]:
        """Events of Label Studio."""
        return backend.webhook(body)

    return app


def _knows(request: Request, password: str) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    try:
        user, _, said = base64.b64decode(given).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    right = hmac.compare_digest(said.encode(), password.encode())
    return kind.lower() == "basic" and user == "segue" and right
