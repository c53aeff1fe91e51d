"""What the parity tests compare with."""

from pathlib import Path

import pytest

from tests.parity.folders import fixtures_root


@pytest.fixture(scope="session")
def parity_dir(request: pytest.FixtureRequest) -> Path:
    """The folder given by --parity-fixtures, or its default."""
    path = fixtures_root(request.config)
    if not path.is_dir():
        pytest.skip("needs the parity fixtures (--parity-fixtures DIR)")
    return path
