"""Whatever happens under a command ends as one line and a status."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import segue
from segue.cli.net import caught
from segue.core.errors import ImageError
from segue.data.io.image import write_image

CAT = Path(segue.__file__).parent / "samples" / "cat.jpg"


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImageError("got a.png, which is damaged"), "error: got a.png, which is damaged"),
        (OSError(28, "No space left on device", "/out/a.json"), "no way to write /out/a.json: No space left on device"),
        (PermissionError(13, "Permission denied", "/out"), "/out: Permission denied"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "no Unicode"),
        (MemoryError(), "not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "RecursionError: maximum recursion depth exceeded"),
        (
            RuntimeError("a library's own\nmany lines"),
            "RuntimeError: a library's own many lines. This should not happen",
        ),
    ],
)
def test_every_error_is_one_line_with_status_1(capsys, error, words):
    assert caught(raising(error)) == 1
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert "Traceback" not in told


def test_debug_shows_the_trace_before_the_line(capsys):
    assert caught(raising(RuntimeError("deep inside")), debug=True) == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert told.splitlines()[-1].startswith("error: RuntimeError: deep inside")


def test_ctrl_c_says_what_is_saved_in_the_command_s_own_words(capsys):
    before = signal.getsignal(signal.SIGINT)
    try:
        assert caught(raising(KeyboardInterrupt())) == 130
        assert caught(raising(KeyboardInterrupt("the checkpoint is in run/"))) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "interrupted; what was finished is saved\nthe checkpoint is in run/\n"


def test_warnings_are_one_line_each(capsys):
    with warnings.catch_warnings():
        assert caught(lambda: warnings.warn("a profile was\nignored", UserWarning, stacklevel=1)) == 0
    assert capsys.readouterr().err == "warning: a profile was ignored\n"


def segue_command(*words, **more):
    return subprocess.run([sys.executable, "-m", "segue", *words], capture_output=True, timeout=100, **more)


def test_a_name_that_the_console_cannot_spell_is_escaped(tmp_path):
    (tmp_path / "写真.jpg").write_bytes(CAT.read_bytes())
    words = ("mask", "写真.jpg", "--click", "200,150", "-o", "写真.png")
    done = segue_command(*words, cwd=tmp_path, env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, (tmp_path / "写真.png").is_file()) == (0, True)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "| true"])
def test_nobody_listening_is_no_error_of_ours(closed):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m segue models {closed}"], capture_output=True, timeout=100, check=False
    )
    assert b"Traceback" not in done.stderr + done.stdout
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize("moment", [b"| typer", b"segue.session.load", b"encode: "])
def test_ctrl_c_at_any_moment_leaves_no_trace(tmp_path, moment):
    """While the command line is read, while the model's libraries are, and while it works."""
    for index in range(250):
        write_image(tmp_path / f"{index}.png", np.full((600, 800, 3), index, np.uint8))
    words = ["-X", "importtime", "-m", "segue", "encode", str(tmp_path), "--cache", str(tmp_path / "cache")]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        told = b""
        while moment not in told and (chunk := os.read(child.stderr.fileno(), 4096)):
            told += chunk
        child.send_signal(signal.SIGINT)
        out, rest = child.communicate(timeout=60)
    assert b"Traceback" not in told + rest + out
    assert child.returncode == 130
