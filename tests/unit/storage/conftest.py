from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.jobs import JobStore
from storage.media import MediaIndex
from storage.stores import Stores, memory_stores, open_stores


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "empty.db"
    open_stores(f"sqlite:///{path}").close()
    return path


@pytest.fixture
def database_file(empty_database: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(empty_database, tmp_path / "jobs.db"))


@pytest.fixture
def sql_stores(database_file: Path) -> Iterator[Stores]:
    with open_stores(f"sqlite:///{database_file}") as stores:
        yield stores


@pytest.fixture(params=["sqlite", "memory"])
def stores(request: pytest.FixtureRequest) -> Stores:
    if request.param == "memory":
        return memory_stores()
    opened: Stores = request.getfixturevalue("sql_stores")
    return opened


@pytest.fixture
def jobs(stores: Stores) -> JobStore:
    return stores.jobs


@pytest.fixture
def index(stores: Stores) -> MediaIndex:
    return stores.media
