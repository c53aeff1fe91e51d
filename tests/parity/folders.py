"""Where the fixtures are, and which folders are of a kind: decided by their config.json, never by their names."""

import atexit
import functools
import json
import lzma
import shutil
import tempfile
from pathlib import Path

import pytest

SHIPPED = Path(__file__).with_name("fixtures")
SHARED = Path(__file__).resolve().parents[3] / "shared" / "parity"
ABSENT = pytest.param(
    None, id="absent", marks=pytest.mark.skip("needs the networks' parity fixtures, which no clone holds")
)


def fixtures_root(config):
    """The folder of --parity-fixtures; without it the shared one, else the fixtures that are in the checkout."""
    given = config.getoption("--parity-fixtures")
    if given is not None:
        return Path(given)
    return SHARED if SHARED.is_dir() else unpacked()


@functools.cache
def unpacked():
    """A temporary copy of the shipped fixtures, unpacked; it goes with the process."""
    root = Path(tempfile.mkdtemp(prefix="parity-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    for path in SHIPPED.rglob("*"):
        if path.is_file():
            target = root / path.relative_to(SHIPPED)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".xz":
                target.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
            else:
                shutil.copyfile(path, target)
    return root


def folders_where(config, condition):
    """Paths of the fixture folders whose parsed config.json meets ``condition``, or one parameter that skips."""
    found = []
    for path in sorted(fixtures_root(config).glob("*/config.json")):
        if condition(json.loads(path.read_text())):
            found.append(path.parent)
    return found or [ABSENT]
