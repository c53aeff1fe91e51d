"""One bad item is named; the rest is done."""

import pytest

from segue.core.errors import ImageError, StorageError
from segue.core.failures import Failure, Failures, explained


def worked(failures, errors):
    done = 0
    for name, error in errors.items():
        with failures.guard(name):
            if error is not None:
                raise error
            done += 1
    return done


def test_the_others_are_done_and_the_bad_ones_named():
    failures = Failures()
    done = worked(failures, {"a": None, "b": ImageError("b, which is damaged"), "c": MemoryError(), "d": None})
    assert done == 2
    assert [failure.item for failure in failures.check(done)] == ["b", "c"]
    assert failures.rows[0] == Failure("b", "b, which is damaged")
    assert "memory" in failures.rows[1].reason


def test_where_nothing_is_done_the_first_error_is_raised():
    failures = Failures()
    done = worked(failures, {"a": ImageError("a, which is damaged"), "b": ValueError()})
    with pytest.raises(ImageError, match="a, which is damaged"):
        failures.check(done)


def test_strict_stops_at_the_first():
    with pytest.raises(ImageError):
        worked(Failures(strict=True), {"a": ImageError("a")})


@pytest.mark.parametrize("error", [StorageError("no way to write"), OSError(28, "No space left on device")])
def test_a_disk_that_refuses_stops_everything(error):
    with pytest.raises(OSError, match=r"no way|No space"):
        worked(Failures(), {"a": error})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(28, "No space left on device", "a.png"),
            r"no way to write a\.png: No space left on device \(.* MB free\)",
        ),
        (PermissionError(13, "Permission denied", b"\xff.png"), r"\.png: Permission denied"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "no Unicode"),
        (RuntimeError("CUDA out of memory.\nTried to allocate"), "not enough memory"),
        (ModuleNotFoundError("No module named 'x'", name="x"), "pip install x"),
        (AssertionError(), "^AssertionError$"),
    ],
)
def test_every_error_is_one_line(error, words):
    import re

    line = explained(error)
    assert "\n" not in line
    assert re.search(words, line)
