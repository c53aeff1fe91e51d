"""Libraries that would report to their makers: told not to, before they are loaded.

ONNX Runtime's wheels (1.32, Linux) keep a device id and a database of events in the user's cache folder, to be sent to
its maker. What is annotated is nobody's business: segue sends nothing, and its libraries neither.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, MutableMapping

SWITCHES = {  # library -> (the variable by which it is switched off, its value)
    "onnxruntime": ("ORT_DISABLE_TELEMETRY", "1"),
    "ray": ("RAY_USAGE_STATS_ENABLED", "0"),
    "huggingface_hub": ("HF_HUB_DISABLE_TELEMETRY", "1"),
}


def report_nothing(
    environment: MutableMapping[str, str] = os.environ, loaded: Container[str] = sys.modules
) -> dict[str, str]:
    """Switch the libraries' reports off for this process and those it starts; the variables that were set.

    Nothing that the user has set is changed, and nothing where a library is ``loaded`` already: that program has made
    its choice.

    >>> report_nothing({"RAY_USAGE_STATS_ENABLED": "1"}, loaded=("huggingface_hub",))
    {'ORT_DISABLE_TELEMETRY': '1'}
    """
    chosen = {
        name: value for library, (name, value) in SWITCHES.items() if library not in loaded and name not in environment
    }
    environment.update(chosen)
    return chosen
