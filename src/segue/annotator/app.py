"""The annotator's server: built from a configuration, run until it is interrupted."""

from __future__ import annotations

import contextlib
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

import segue
from segue.annotator import routes, routes_jobs, routes_proposals, schemas
from segue.annotator.adapt_service import AdaptService
from segue.annotator.config import AnnotateConfig
from segue.annotator.importing import ImportService
from segue.annotator.project import Project
from segue.annotator.propagating import PropagateService
from segue.annotator.proposing import ProposeService
from segue.annotator.security import Guard
from segue.core.errors import ConfigError, SegueError
from segue.core.segmenter import Segmenter

STATIC = Path(__file__).parent / "static"


def build(config: AnnotateConfig, load: Callable[[], Segmenter] | None = None) -> FastAPI:
    """The application of one project; its database is opened and brought up to date now, its model (``load``) later.

    >>> app = build(AnnotateConfig(db="sqlite://"))
    >>> app.openapi()["info"]["title"]
    'segue annotator'
    """
    project = Project(config, load)
    adapt_service = AdaptService(project)
    propagate_service = PropagateService(project)
    propose_service = ProposeService(project)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        adapt_service.close()
        propagate_service.close()
        propose_service.close()
        project.close()

    app = FastAPI(
        title="segue annotator",
        version=segue.__version__,
        docs_url=None,  # its page would load scripts from another site
        redoc_url=None,
        openapi_url="/api/openapi.json",
        lifespan=lifespan,
    )
    app.state.project, app.state.adapt_service = project, adapt_service
    app.state.propagate_service, app.state.propose_service = propagate_service, propose_service
    app.state.import_service = ImportService(project)
    app.include_router(routes.router)
    app.include_router(routes_jobs.router)
    app.include_router(routes_proposals.router)
    app.mount("/", StaticFiles(directory=STATIC, html=True), name="page")
    _speak_plainly(app)
    app.add_middleware(
        Guard,
        local=config.local,
        token=config.token,
        max_upload=config.max_upload,
    )
    return app


def serve(config: AnnotateConfig, load: Callable[[], Segmenter] | None = None) -> None:
    """Open the folder in a browser page and serve it until Ctrl-C.

    Says where the page is, also when no browser can be opened. Raises ``MissingFile`` for no such folder and
    ``ConfigError`` for a port in use.

    The address is printed with its token when the page can be reached from other machines.
    """
    if not config.local and config.token is None:
        config = config.model_copy(update={"token": secrets.token_urlsafe(24)})
    listener = _listen(config)
    app = build(config, load)
    port = listener.getsockname()[1]
    address = page_address(config, port)
    images = app.state.project.overview().images
    sys.stdout.write(
        f"segue annotates {images} images of {config.images}\n  {address}\nCtrl-C ends it; everything is saved.\n"
    )
    sys.stdout.flush()
    if config.browser:
        threading.Thread(target=_show, args=(address,), daemon=True).start()
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3, server_header=False)
    )
    server.run(sockets=[listener])


def page_address(config: AnnotateConfig, port: int) -> str:
    """What to type into a browser.

    >>> page_address(AnnotateConfig(host="0.0.0.0", token="secret"), 8788).endswith(":8788/?token=secret")
    True
    """
    host = "127.0.0.1" if config.local else config.host
    if config.host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    if ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}/" + (f"?token={config.token}" if config.token else "")


def _listen(config: AnnotateConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # Where the protocol is not named asyncio leaves Nagle's algorithm on, which holds an answer's end for 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"the address {config.host}:{config.port}, which cannot be used ({error.strerror or error})",
            "a free port on this machine",
            "choose another with --port, or 0 for any",
        ) from error
    return listener


def _show(address: str) -> None:
    opened = False
    with contextlib.suppress(webbrowser.Error):
        opened = webbrowser.open(address)
    if not opened:
        sys.stdout.write(f"No browser could be opened here; open {address} yourself.\n")
        sys.stdout.flush()


def _speak_plainly(app: FastAPI) -> None:
    """Every error as a ``Problem``: what arrived, what was expected, how to fix it."""

    @app.exception_handler(SegueError)
    async def ours(_request: Request, error: SegueError) -> JSONResponse:
        status, problem = routes.problem_of(error)
        return JSONResponse(problem.model_dump(), status)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse(schemas.Problem(message=f"{where}: {first['msg']}").model_dump(), 422)

    @app.exception_handler(HTTPException)
    async def plain(_request: Request, error: HTTPException) -> JSONResponse:
        problem = schemas.Problem(message=str(error.detail))
        return JSONResponse(problem.model_dump(), error.status_code, dict(error.headers or {}))
