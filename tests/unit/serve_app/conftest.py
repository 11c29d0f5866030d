from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from in_process import Workshop, open_workshop

from storage import Stores, memory_stores, open_stores

MakeWorkshop = Callable[..., Workshop]


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "empty.sqlite3"
    open_stores(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """In memory, unless the test asks for SQLite by the indirect parameter `stores`."""
    if getattr(request, "param", "memory") == "memory":
        yield memory_stores()
        return
    file = shutil.copy(request.getfixturevalue("empty_database"), tmp_path / "jobs.sqlite3")
    with open_stores(f"sqlite:///{file}") as opened:
        yield opened


@pytest.fixture
def make_workshop(stores: Stores, tmp_path: Path) -> Iterator[MakeWorkshop]:
    """Workshops over the same stores and files; keyword arguments are parts of it."""
    with ExitStack() as stack:
        yield lambda **parts: stack.enter_context(open_workshop(stores, tmp_path, **parts))


@pytest.fixture
def workshop(make_workshop: MakeWorkshop) -> Workshop:
    return make_workshop()
