"""Loading weights from the disk, and after they were read into the page cache while another model ran."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from deployments.weights.page_cache import read
from tests.benchmarks.figures import Figure, seconds

TENSORS, TENSOR_BYTES = 16, 16 << 20
HEADING = f"Loading {TENSORS * TENSOR_BYTES >> 20} MiB of weights"


def measure(folder: Path, count: int) -> Iterator[Figure]:
    file = folder / "weights.safetensors"
    zeros = np.zeros(TENSOR_BYTES, np.uint8)
    save_file({f"tensor{index}": zeros + index for index in range(TENSORS)}, file)
    with file.open("rb") as written:
        os.fsync(written.fileno())
    from_disk, reading, read_ahead = [], [], []
    for _ in range(count):
        _drop(file)
        from_disk.append(_loading(file))
        _drop(file)
        started = time.perf_counter()
        read([file], threading.Event())
        reading.append(time.perf_counter() - started)
        read_ahead.append(_loading(file))
    yield seconds(HEADING, "from the disk", from_disk)
    yield seconds(HEADING, "read ahead", read_ahead, "what a swap takes")
    yield seconds(HEADING, "  reading ahead", reading, "while the other model runs")
    file.unlink()


def _drop(file: Path) -> None:
    """Out of the page cache."""
    with file.open("rb") as cached:
        os.posix_fadvise(cached.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _loading(file: Path) -> float:
    """Seconds until each byte is in memory."""
    started = time.perf_counter()
    for tensor in load_file(file).values():
        tensor.max()
    return time.perf_counter() - started
