from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from job_examples import LATER, NOON, WORKER_DIED, job, media
from sqlalchemy import Engine, create_engine, event, insert, inspect
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError

import storage.migrations
from storage import database, schema
from storage.database import open_database
from storage.errors import DatabaseDamaged, DatabaseUnavailable, DatabaseUrlUnusable, DiskFull, SchemaTooNew
from storage.jobs import JobId, JobProgress, JobStatus, Phase, Quota
from storage.media import MediaId, MediaQuery
from storage.rows import job_values, media_values
from storage.stores import Stores, open_stores
from storage.tags import Tag

FORK = multiprocessing.get_context("fork")


def migrate(path: Path, revision: str) -> Engine:
    config = Config()
    config.set_main_option("script_location", str(Path(storage.migrations.__file__).parent))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        if revision == "base":
            command.downgrade(config, revision)
        else:
            command.upgrade(config, revision)
    return engine


def pragma(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_the_migrated_schema_is_the_schema_in_code(sql_stores: Stores) -> None:
    assert sql_stores.database is not None
    with sql_stores.database.writes.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_an_older_database_is_migrated_with_its_jobs(tmp_path: Path) -> None:
    engine = migrate(tmp_path / "old.db", "0001")
    with engine.begin() as connection:
        values = job_values(job("a", position=1.0))
        then = {column["name"] for column in inspect(connection).get_columns("jobs")}
        connection.execute(insert(schema.jobs), {name: values[name] for name in values.keys() & then})
    engine.dispose()
    with open_stores(f"sqlite:///{tmp_path}/old.db") as stores:
        assert stores.jobs.get(JobId("a")) == job("a", position=1.0)
        assert stores.jobs.paused is False


def test_the_media_of_an_older_database_can_be_tagged(tmp_path: Path) -> None:
    engine = migrate(tmp_path / "old.db", "0008")
    with engine.begin() as connection:
        connection.execute(insert(schema.jobs), job_values(job("a")))
        values = media_values(media("m", job_id="a", favorite=True), client=None)
        connection.execute(insert(schema.media), values)
    engine.dispose()
    with open_stores(f"sqlite:///{tmp_path}/old.db") as stores:
        assert stores.media.get(MediaId("m")) == media("m", job_id="a", favorite=True)
        assert stores.media.set_tags(MediaId("m"), [Tag("sea")])
    with open_stores(f"sqlite:///{tmp_path}/old.db") as stores:
        assert stores.media.get(MediaId("m")) == media("m", job_id="a", favorite=True, tags=("sea",))


def test_migrations_can_be_undone(database_file: Path) -> None:
    migrate(database_file, "base").dispose()
    with open_stores(f"sqlite:///{database_file}") as stores:
        assert stores.jobs.counts()[JobStatus.PENDING] == 0


def test_a_database_of_a_newer_version_is_left_alone(database_file: Path) -> None:
    with sqlite3.connect(database_file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(SchemaTooNew, match="newer version"):
        open_database(f"sqlite:///{database_file}")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "oracle9://x/y", "sqlite://", "sqlite:///:memory:", "postgresql://host:port/x"]
)
def test_an_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUrlUnusable):
        open_database(url)


def test_the_folder_of_the_file_is_made(tmp_path: Path) -> None:
    with open_stores(f"sqlite:///{tmp_path}/50% new/folder/jobs.db"):
        assert (tmp_path / "50% new/folder/jobs.db").exists()


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "jobs.db").write_text("this is a letter to my aunt\n" * 100)
    with pytest.raises(DatabaseDamaged, match="not a database"):
        open_database(f"sqlite:///{tmp_path}/jobs.db")


def test_writes_wait_for_the_disk_and_hints_do_not(sql_stores: Stores) -> None:
    database = sql_stores.database
    assert database is not None
    full, normal = 2, 1
    assert (pragma(database.writes, "synchronous"), pragma(database.hints, "synchronous")) == (full, normal)
    for engine in (database.writes, database.hints):
        assert pragma(engine, "journal_mode") == "wal"
        assert pragma(engine, "foreign_keys") == 1
    assert pragma(database.reads, "query_only") == 1


def test_a_full_disk_is_told_apart_from_other_trouble(sql_stores: Stores) -> None:
    database = sql_stores.database
    assert database is not None
    event.listen(database.writes, "before_cursor_execute", _fails_with("database or disk is full"))
    with pytest.raises(DiskFull):
        sql_stores.jobs.add(job("a"), max_pending=1)
    event.listen(database.hints, "before_cursor_execute", _fails_with("database is locked"))
    with pytest.raises(DatabaseUnavailable, match="locked"):
        sql_stores.jobs.renew(owner="me", lease_until=LATER)


def test_a_locked_database_is_waited_for_within_bounds(
    database_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database._PATIENCE_S", 0.2)
    monkeypatch.setitem(database._ONE_AT_A_TIME, "pool_timeout", 0.2)
    other = sqlite3.connect(database_file, isolation_level=None)
    with open_stores(f"sqlite:///{database_file}") as stores, ThreadPoolExecutor(4) as pool:
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        added = [pool.submit(stores.jobs.add, job(str(number)), max_pending=9) for number in range(4)]
        assert {type(each.exception()) for each in added} == {DatabaseUnavailable}
        assert time.monotonic() - begun < 3
        assert stores.jobs.counts()[JobStatus.PENDING] == 0
        other.execute("ROLLBACK")
        assert stores.jobs.add(job("a"), max_pending=9).id == "a"
    other.close()


def _fails_with(message: str) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OperationalError("", {}, sqlite3.OperationalError(message))

    return fail


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()])
def test_times_are_aware_and_must_be(dialect: sqlite.dialect) -> None:
    column = schema.UtcDateTime()
    local = NOON.astimezone(timezone(timedelta(hours=-5)))
    stored = column.process_bind_param(local, dialect)
    assert stored is not None
    back = column.process_result_value(stored, dialect)
    assert back == NOON
    assert back.tzinfo is UTC
    with pytest.raises(ValueError, match="time zone"):
        column.process_bind_param(NOON.replace(tzinfo=None), dialect)


def test_times_sort_as_text_to_the_microsecond() -> None:
    moments = [datetime(99, 1, 1, tzinfo=UTC), NOON, NOON + timedelta(microseconds=1), LATER]
    dialect = sqlite.dialect()
    texts = [str(schema.UtcDateTime().process_bind_param(moment, dialect)) for moment in moments]
    assert texts == sorted(texts)


def test_every_query_can_be_written_for_postgresql(sql_stores: Stores) -> None:
    seen: list[str] = []
    database = sql_stores.database
    assert database is not None
    for engine in (database.reads, database.writes, database.hints):
        event.listen(
            engine,
            "before_execute",
            lambda _, statement, *__: seen.append(str(statement.compile(dialect=postgresql.dialect()))),
        )
    _use_everything(sql_stores)
    assert len(set(seen)) > 25
    assert any("FOR UPDATE" in each for each in seen)


def _use_everything(stores: Stores) -> None:
    jobs = stores.jobs
    for name in "abc":
        quota = Quota(waiting=9, outputs_per_day=9)
        added = jobs.add(job(name, idempotency_key=name), max_pending=9, quota=quota)
    jobs.queue_position(added)
    jobs.move(JobId("a"), before=JobId("c"))
    jobs.waiting(per_model=1)
    for name in "ab":
        jobs.claim(JobId(name), owner="me", now=NOON, lease_until=LATER)
    jobs.renew(owner="me", lease_until=LATER)
    jobs.record_progress(JobId("a"), owner="me", progress=JobProgress(phase=Phase.SAVING))
    jobs.cancel_requests(owner="me")
    jobs.held(owner="me")
    outputs = (media("m", job_id="a"),)
    jobs.complete(JobId("a"), owner="me", now=LATER, media=outputs, load_seconds=1, run_seconds=1)
    jobs.request_cancel(JobId("b"), now=NOON)
    jobs.finish_cancel(JobId("b"), owner="me", now=NOON)
    jobs.recover(owner="you", now=NOON, max_attempts=1, error=WORKER_DIED, only_expired=True)
    jobs.clear(now=NOON, client="ann")
    jobs.page(limit=1, cursor=jobs.page(limit=1).next_cursor, status=JobStatus.PENDING, model="flux")
    jobs.counts(since=NOON, client="ann")
    jobs.history(since=NOON)
    jobs.set_paused(jobs.paused)
    query = MediaQuery(words=("cat",), model="flux", favorite=False)
    stores.media.page(query, limit=1)
    stores.media.set_favorite(outputs[0].id, True)
    stores.media.change_tags([outputs[0].id], add=[Tag("sea")])
    stores.media.page(MediaQuery(tags=(Tag("sea"),)), limit=1)
    stores.media.tags()
    stores.media.file_paths()
    jobs.delete(JobId("a"))
    stores.media.delete(outputs[0].id)


def test_processes_may_make_and_migrate_one_new_file_at_once(tmp_path: Path) -> None:
    barrier = FORK.Barrier(4)
    processes = [FORK.Process(target=_open_and_add, args=(tmp_path, n, barrier)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    with open_stores(f"sqlite:///{tmp_path}/new.db") as stores:
        assert sorted(each.id for each in stores.jobs.waiting(per_model=9)) == ["0", "1", "2", "3"]


def _open_and_add(folder: Path, number: int, barrier: multiprocessing.synchronize.Barrier) -> None:
    barrier.wait(30)
    with open_stores(f"sqlite:///{folder}/new.db") as stores:
        stores.jobs.add(job(str(number)), max_pending=9)
    os._exit(0)


def test_the_queue_is_as_it_was_after_a_restart(database_file: Path) -> None:
    with open_stores(f"sqlite:///{database_file}") as stores:
        for number, name in enumerate("abcdef"):
            stores.jobs.add(job(name, priority=int(name == "e"), model="flux"), max_pending=number + 1)
        stores.jobs.move(JobId("d"), before=JobId("a"))
        stores.jobs.move(JobId("b"), before=None)
        stores.jobs.request_cancel(JobId("c"), now=NOON)
        stores.jobs.set_paused(True)
        before = stores.jobs.waiting(per_model=10)
    with open_stores(f"sqlite:///{database_file}") as stores:
        assert stores.jobs.waiting(per_model=10) == before
        assert [each.id for each in before] == ["e", "d", "a", "f", "b"]
        assert stores.jobs.paused


def test_what_was_added_survives_the_sudden_death_of_the_process(database_file: Path) -> None:
    heard, told = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_add_until_killed, args=(database_file, told))
    process.start()
    told.close()
    acknowledged = [heard.recv() for _ in range(25)]
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    acknowledged += _rest(heard)
    connection = sqlite3.connect(database_file)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    with open_stores(f"sqlite:///{database_file}") as stores:
        waiting = [each.id for each in stores.jobs.waiting(per_model=10_000)]
        assert waiting[: len(acknowledged)] == acknowledged
        stores.jobs.add(job("after"), max_pending=10_000)


def _add_until_killed(path: Path, told: Pipe) -> None:
    with open_stores(f"sqlite:///{path}") as stores:
        for number in range(10_000):
            added = stores.jobs.add(job(str(number)), max_pending=10_000)
            stores.jobs.renew(owner="me", lease_until=LATER)
            told.send(added.id)


def _rest(heard: Pipe) -> list[str]:
    rest = []
    try:
        while True:
            rest.append(heard.recv())
    except EOFError:
        return rest
