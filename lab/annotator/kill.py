"""kill -9 before, or in the middle of, every one of 300 actions: ``PYTHONPATH=. python lab/annotator/kill.py``.

The suite's own test ends the server ten times in as many actions; this one restarts it 300 times.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.annotator.fake_model import photo
from tests.annotator.test_kill import live_through


def main() -> None:
    """Print what was done, as JSON; an AssertionError is a loss."""
    parser = argparse.ArgumentParser(prog="python lab/annotator/kill.py", description=__doc__.split("\n")[0])
    parser.add_argument("--actions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="segue-kill-") as home:
        folder = Path(home) / "photos"
        for number in range(3):
            photo(folder / f"{number}.png", seed=30 * number)
        done = live_through(folder, Path(home), given.actions, given.actions, random.Random(given.seed))
    seconds = round(time.perf_counter() - began, 1)
    sys.stdout.write(json.dumps({"kills": given.actions, "seconds": seconds, "changed": done}) + "\n")


if __name__ == "__main__":
    main()
