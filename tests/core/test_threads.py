"""Threads that wait do not spin: beside another program segue keeps its speed."""

from __future__ import annotations

import os
import subprocess
import sys

IDLE = """
import time{segue}
import torch

torch.set_num_threads(2)
x = torch.randn(1, 16, 64, 64)
spent = 0.0
for _ in range(20):
    x.relu()
    before = time.process_time()
    time.sleep(0.02)
    spent += time.process_time() - before
print(spent)
"""


def _run(code: str, **environment: str) -> str:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_", "GOMP_", "OPENBLAS_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=inherited | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_pool_that_has_nothing_to_do_takes_no_processor_time() -> None:
    assert float(_run(IDLE.format(segue=", segue"))) < 0.05


def test_what_the_user_decided_stays() -> None:
    assert _run("import os, segue; print(os.environ['OMP_WAIT_POLICY'])", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


def test_nothing_changes_for_a_program_that_has_loaded_its_runtime() -> None:
    assert _run("import os, torch, segue; print(os.environ.get('OMP_WAIT_POLICY'))") == "None"
