"""Fixtures that every room's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# the same examples on every machine, however busy; `--hypothesis-profile look-further` draws others
settings.register_profile("look-further", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("any-machine", settings.get_profile("look-further"), derandomize=True)
settings.load_profile("any-machine")

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--parity-fixtures",
        default=None,
        help="folder of golden inputs and outputs of the official code; default: ../shared/parity, else the small "
        "ones in tests/parity/fixtures",
    )


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data beside the checkout."""
    path = ROOT.parent / "shared"
    if not path.is_dir():
        pytest.skip(f"needs the shared data folder beside the checkout: {path.name} is absent")
    return path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was skipped and why, counted: a plain clone shows what it cannot check."""
    reasons: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons.setdefault(reason.removeprefix("Skipped: "), []).append(report.nodeid.partition("::")[0])
    if not reasons:
        return
    terminalreporter.section(f"{sum(map(len, reasons.values()))} skipped")
    for reason, files in sorted(reasons.items(), key=lambda item: -len(item[1])):
        terminalreporter.line(f"{len(files)} x {reason}  ({', '.join(sorted(set(files)))})")
