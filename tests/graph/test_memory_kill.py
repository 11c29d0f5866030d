from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.graph
ROOT = Path(__file__).parents[2]


def test_a_replica_that_ray_ends_for_want_of_memory_is_told_as_that() -> None:
    program = subprocess.run(
        [sys.executable, "-m", "tests.memory_kill"], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert program.stdout.splitlines()[-3:] == [
        "called directly: Ray ended its replica because the machine was short of memory",
        "called over gRPC: Ray ended its replica because the machine was short of memory",
        "killed otherwise: its replica is gone",
    ], program.stderr[-2000:]
