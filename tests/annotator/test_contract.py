"""The OpenAPI document is the contract: whatever it allows is answered as it says, and nothing crashes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings

from segue.annotator.app import build
from segue.annotator.config import AnnotateConfig
from tests.annotator.fake_model import ColourModel, photo

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis (extra 'dev')")
from schemathesis.checks import CHECKS  # noqa: E402

EXAMPLES = 12
LONG_WORK = {("POST", "/api/find"), ("POST", "/api/adapt")}  # they start processes
WANTED = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    home = tmp_path_factory.mktemp("contract")
    for number in range(3):
        photo(home / f"{number}.png", size=(30, 40))
    app = build(AnnotateConfig(folder=home), load=ColourModel)
    with TestClient(app, base_url="http://localhost"):
        yield app


def test_the_server_answers_as_its_document_says(app: object) -> None:
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app, headers={"host": "localhost"})
    checks = CHECKS.get_by_names(WANTED)
    count = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if (operation.method.upper(), operation.path) in LONG_WORK:
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case) -> None:  # type: ignore[no-untyped-def]
            case.call_and_validate(headers={"host": "localhost"}, checks=checks)

        check()
        count += 1
    assert count > 20
