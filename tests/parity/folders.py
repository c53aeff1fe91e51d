"""Which fixture folders are of a kind: decided by their config.json, never by their names."""

import json
from pathlib import Path


def folders_where(config, condition):
    """Paths of the fixture folders under --parity-fixtures whose parsed config.json meets ``condition``."""
    root = Path(config.getoption("--parity-fixtures"))
    found = []
    for path in sorted(root.glob("*/config.json")):
        if condition(json.loads(path.read_text())):
            found.append(path.parent)
    return found
