"""The end of a test run says what was not checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_skips_are_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((Path(__file__).parent / "conftest.py").read_text())
    (tmp_path / "test_a.py").write_text(
        "import pytest\n\n@pytest.mark.parametrize('n', [1, 2])\ndef test_a(n):\n    pytest.skip('needs a browser')\n"
    )
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "."], cwd=tmp_path, capture_output=True, text=True)
    assert "2 skipped" in done.stdout
    assert "2 x needs a browser  (test_a.py)" in done.stdout
