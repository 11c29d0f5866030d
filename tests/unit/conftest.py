"""Unit tests start no Ray, use no network but this machine's, and see nobody's settings."""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is slow now and then; that is no finding.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")

OURS = (
    "CYBERIMAGE_",
    "MODEL_",
    "DOWNLOAD_MODEL_",
    "HF_",
    "HUGGING_FACE_",
    "OPENAI_",
    "RAY_ADDRESS",
    "NO_COLOR",
)
#: Where the tests' databases and media are, if there is such a place: in memory.
MEMORY = Path("/dev/shm")

LOCAL = ("127.0.0.1", "::1", "localhost")


def pytest_configure() -> None:
    if os.access(MEMORY, os.W_OK):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish() -> None:
    """What is imported and collected by now stays: looking for garbage in it took 7 % of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_ray() -> Iterator[None]:
    """Asks at the end rather than patch at the beginning: importing Ray takes longer than most tests."""
    yield
    if (ray := sys.modules.get("ray")) is not None:
        assert not ray.is_initialized(), "a unit test has started Ray"


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    connect = socket.socket.connect

    def local_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            assert address[0] in LOCAL, f"a unit test connects to {address}"
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", local_connect)
        yield
