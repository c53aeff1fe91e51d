"""The OpenAPI document is the contract: whatever it allows is answered as it says, never with a crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from tests.annotator.fake_model import ColourModel

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis (extra 'dev')")


@pytest.fixture
def api(folder: Path):  # type: ignore[no-untyped-def]
    app = build(AnnotateConfig(folder=folder), load=ColourModel)
    with TestClient(app, base_url="http://localhost"):
        yield schemathesis.openapi.from_dict(app.openapi()).configure(base_url="http://localhost") if False else (
            schemathesis.openapi.from_asgi("/api/openapi.json", app, headers={"host": "localhost"})
        )
