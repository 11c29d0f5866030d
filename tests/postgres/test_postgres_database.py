"""What is PostgreSQL's own: its schema, its locks, and what it says when something is wrong."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from job_examples import LATER, NOON, job, media
from postgres_databases import new_database
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

import storage.migrations
from storage import schema
from storage.database import Database, open_database
from storage.errors import DatabaseUnavailable, DatabaseUrlUnusable, DiskFull, QueueFull, SchemaTooNew
from storage.jobs import JobId, JobStatus
from storage.stores import Stores, open_stores

FORK = multiprocessing.get_context("fork")


def test_the_migrated_schema_is_the_schema_in_code(database: Database) -> None:
    with database.writes.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_migrations_can_be_undone_and_done_again(postgres: str) -> None:
    url = new_database(postgres, "undone")
    with open_stores(url) as stores:
        stores.jobs.add(job("a"), max_pending=9)
    config = Config()
    config.set_main_option("script_location", os.path.dirname(storage.migrations.__file__))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    engine.dispose()
    with open_stores(url) as stores:
        assert stores.jobs.counts()[JobStatus.PENDING] == 0


def test_a_database_of_a_newer_version_is_left_alone(postgres: str) -> None:
    url = new_database(postgres, "newer")
    open_database(url).close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SchemaTooNew):
        open_database(url)


def test_processes_may_make_and_migrate_one_new_database_at_once(postgres: str) -> None:
    url = new_database(postgres, "raced")
    processes = [FORK.Process(target=open_and_add, args=(url, str(number))) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    with open_stores(url) as stores:
        assert {each.id for each in stores.jobs.waiting(per_model=9)} == {"0", "1"}


def open_and_add(url: str, name: str) -> None:
    with open_stores(url) as stores:
        stores.jobs.add(job(name), max_pending=9)
    os._exit(0)


def test_stores_of_two_processes_take_exactly_as_many_jobs_as_they_may(postgres: str, stores: Stores) -> None:
    """Each with a queue of writers of its own: the database alone keeps them in order."""
    with open_stores(postgres % "promises") as others:

        def add(number: int) -> bool:
            chosen = (stores, others)[number % 2]
            try:
                chosen.jobs.add(job(str(number), idempotency_key=str(number // 4)), max_pending=5)
            except QueueFull:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            taken = sum(pool.map(add, range(40)))
    waiting = stores.jobs.waiting(per_model=99)
    assert len(waiting) == len({(each.turn, each.position) for each in waiting}) == 5
    assert taken >= 5


def test_a_lock_is_waited_for_within_bounds(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.database._PATIENCE_S", 1)
    url = new_database(postgres, "locked")
    with open_stores(url) as stores:
        assert stores.database is not None
        with stores.database.writes.begin() as other:
            other.execute(text("LOCK TABLE state IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(DatabaseUnavailable, match="lock"):
                stores.jobs.add(job("a"), max_pending=9)
        assert stores.jobs.add(job("a"), max_pending=9).id == "a"


def test_no_server_at_the_address_is_told(postgres: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        open_database(postgres.replace("/data", "/elsewhere") % "promises")


def test_a_full_disk_is_told_apart_from_other_trouble(stores: Stores, database: Database) -> None:
    def fail(*_: object) -> None:
        raise OperationalError("", {}, Exception("could not extend file: No space left on device"))

    event.listen(database.writes, "before_cursor_execute", fail)
    try:
        with pytest.raises(DiskFull):
            stores.jobs.add(job("a"), max_pending=1)
    finally:
        event.remove(database.writes, "before_cursor_execute", fail)


def test_what_one_process_has_committed_another_reads(postgres: str, stores: Stores) -> None:
    stores.jobs.add(job("a"), max_pending=9)
    stores.jobs.claim(JobId("a"), owner="me", now=NOON, lease_until=LATER)
    made = (media("m", job_id="a"),)
    stores.jobs.complete(JobId("a"), owner="me", now=LATER, media=made, load_seconds=0, run_seconds=1)
    with open_stores(postgres % "promises") as again:
        assert again.jobs.get(JobId("a")) == stores.jobs.get(JobId("a"))
        assert again.media.of_job("a") == made


def test_a_driver_that_is_not_installed_is_named() -> None:
    with pytest.raises(DatabaseUrlUnusable, match="driver"):
        open_database("postgresql+pg8000://x@/y")
