"""A child process of the server: it reads a request from a file and answers in lines of JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from segue.core.errors import SegueError


def say(**line: Any) -> None:
    """One line to the server."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def carry_out(request: Path, tasks: Mapping[str, Callable[[Mapping[str, Any]], None]]) -> int:
    """Do what the file says, the last line is ``done`` or ``failed``; the exit status."""
    os.nice(5)
    content = json.loads(request.read_text())
    try:
        tasks[content["kind"]](content)
    except SegueError as error:
        say(failed=str(error))
        return 1
    say(done=True)
    return 0
