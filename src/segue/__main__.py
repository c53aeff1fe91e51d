"""The ``segue`` command, as a script and as ``python -m segue``."""

from __future__ import annotations

import os
import signal
import sys


def entry() -> None:
    """Run the command line and exit with its status; Ctrl-C ends quietly while its modules are still being read."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from segue.core.imports import importing

    with importing():
        from segue.cli import main  # here, so that nothing heavy is imported before Ctrl-C is looked after

    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())


if __name__ == "__main__":
    entry()
