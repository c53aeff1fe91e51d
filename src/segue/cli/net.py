"""The last net under every command: whatever is raised ends as one line and an exit status, never as a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TextIO

from segue.core.errors import SegueError
from segue.core.failures import explained

INTERRUPTED = 130


def caught(run: Callable[[], Any], debug: bool = False) -> int:
    """Run a command; 0, or the exit status of what stopped it, told in one line on standard error.

    1 for an error, 2 for wrong usage (told by the command line itself), 130 for Ctrl-C. ``debug`` adds the trace.

    >>> caught(lambda: None), caught(lambda: sys.exit(2))
    (0, 2)
    """
    open_streams()
    try:
        run()
        sys.stdout.flush()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        if status == INTERRUPTED:
            _interrupted(stop)
        return status
    except KeyboardInterrupt as interruption:
        _interrupted(interruption)
        return INTERRUPTED
    except BrokenPipeError:  # who read our output has gone: nobody is left to tell
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        print_line(f"error: {described(error)}")
        return 1
    return 0


def described(error: BaseException) -> str:
    """``explained``, and for errors that nobody foresaw how to see more.

    >>> described(KeyError("x"))
    "KeyError: 'x'. This should not happen: run it again with --debug to see where."
    """
    foreseen = isinstance(error, (SegueError, MemoryError, OSError, UnicodeError, ModuleNotFoundError))
    more = "" if foreseen else ". This should not happen: run it again with --debug to see where."
    return f"{explained(error)}{more}"


def print_line(line: str) -> None:
    """Print one line on standard error, whatever its letters and wherever that leads."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def open_streams() -> None:
    """Make standard output and error take every line: letters that they cannot spell are escaped, closed ones lead
    nowhere, and warnings are one line each."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print_line(f"warning: {' '.join(str(message).split())}")


def _interrupted(error: BaseException | None) -> None:
    """Say what is saved, in the words of the interrupted command where it has some."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # impatient fingers end nothing twice
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    print_line(str(error or "") or "interrupted; what was finished is saved")
