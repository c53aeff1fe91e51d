"""The scripts under ``examples/``, as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def example_module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))  # they may import each other, as scripts do
    spec.loader.exec_module(module)
    return module
