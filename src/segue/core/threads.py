"""Worker threads that sleep between two pieces of work instead of spinning.

The pools of OpenMP (PyTorch's, and OpenCV's where it is built so) and OpenBLAS (NumPy's, SciPy's) keep their threads
running for a while after each operation, so that the next one finds them awake. Where every core is free that saves
microseconds; where another program uses one, a thread that spins takes the time of the thread it waits for, and a click
takes seconds. The libraries read their policy once, when they are loaded: ``segue/__init__.py`` sets it before that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, MutableMapping

POLICIES = (  # the library that reads it, the variables by which a user may have decided, and ours
    ("torch", ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"), "PASSIVE"),
    ("numpy", ("OPENBLAS_THREAD_TIMEOUT",), "4"),  # 2^4 ticks, the least it takes
)


def wait_passively(
    environment: MutableMapping[str, str] = os.environ, loaded: Container[str] = sys.modules
) -> dict[str, str]:
    """Set the waiting policy for this process and those it starts; the variables that were set.

    Nothing that the user has set is changed, and nothing where the library is ``loaded`` already: that program has
    made its choice.

    >>> wait_passively({}, loaded=())
    {'OMP_WAIT_POLICY': 'PASSIVE', 'OPENBLAS_THREAD_TIMEOUT': '4'}
    >>> wait_passively({"GOMP_SPINCOUNT": "1000"}, loaded=("numpy",))
    {}
    """
    chosen = {
        names[0]: value
        for library, names, value in POLICIES
        if library not in loaded and not any(name in environment for name in names)
    }
    environment.update(chosen)
    return chosen
