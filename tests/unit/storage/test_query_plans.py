"""The lists stay fast however many rows there are: SQLite walks an index in order, and sorts nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from job_examples import LATER, NOON, job, media
from sqlalchemy import event

from storage.cursors import Mark, encode_cursor
from storage.jobs import JobId, JobStatus, Quota, Resend
from storage.media import SENT_ALONG, MediaId, MediaQuery
from storage.stores import Stores
from storage.tags import Tag

CURSOR = encode_cursor(Mark(NOON, "x"))

Use = Callable[[Stores], object]


def plan(stores: Stores, use: Use) -> list[str]:
    """SQLite's plan for the queries that the call makes."""
    queries: list[tuple[str, Any]] = []
    database = stores.database
    assert database is not None

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        queries.append((statement, parameters))

    engines = (database.reads, database.writes, database.hints)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    use(stores)
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    lines: list[str] = []
    with database.reads.connect() as connection:
        for statement, parameters in queries:
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                lines += [row.detail for row in rows]
    return lines


def assert_quick(lines: list[str]) -> None:
    assert lines
    for line in lines:
        assert "TEMP B-TREE" not in line, lines
        assert not line.startswith("SCAN") or "USING" in line or "CONSTANT" in line, lines


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "jobs_newest"),
        ({"status": JobStatus.FAILED}, "jobs_newest_of_status (status=? AND (created_at,id)<(?,?))"),
        ({"model": "flux"}, "jobs_newest_of_model (model=? AND (created_at,id)<(?,?))"),
        ({"client": "ann"}, "jobs_newest_of_client (client=? AND (created_at,id)<(?,?))"),
        ({"client": "ann", "model": "flux", "status": JobStatus.FAILED}, "jobs_newest_of_"),
        ({"oldest_first": True}, "jobs_newest ((created_at,id)>(?,?))"),
        ({"clips": True}, "jobs_newest_clip ((created_at,id)<(?,?))"),
        ({"clips": True, "oldest_first": True}, "jobs_newest_clip ((created_at,id)>(?,?))"),
        (
            {"clips": True, "client": "ann"},
            "jobs_newest_clip_of_client (client=? AND (created_at,id)<(?,?))",
        ),
    ],
)
def test_pages_of_jobs(sql_stores: Stores, filters: dict[str, Any], index: str) -> None:
    lines = plan(sql_stores, lambda stores: stores.jobs.page(limit=20, cursor=CURSOR, **filters))
    assert_quick(lines)
    assert f"USING INDEX {index}" in lines[0]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (MediaQuery(), "media_newest"),
        (MediaQuery(words=("cat", "red")), "media_newest"),
        (MediaQuery(model="flux"), "media_newest_of_model (model=? AND (created_at,id)<(?,?))"),
        (MediaQuery(media_type="video"), "media_newest_of_type (media_type=? AND (created_at,id)<(?,?))"),
        (MediaQuery(favorite=True), "media_newest_favorite (favorite=? AND (created_at,id)<(?,?))"),
        (MediaQuery(client="ann"), "media_newest_of_client (client=? AND (created_at,id)<(?,?))"),
    ],
)
def test_pages_of_the_gallery(sql_stores: Stores, query: MediaQuery, index: str) -> None:
    lines = plan(sql_stores, lambda stores: stores.media.page(query, limit=20, cursor=CURSOR))
    _, *reading = lines
    # No index helps to count how often a word occurs anywhere in a text.
    assert_quick(reading if query.words else lines)
    assert f"USING INDEX {index}" in reading[0]


@pytest.mark.parametrize("few", [0, 1])
def test_few_media_of_a_tag_are_looked_up_and_many_are_met_on_a_walk(
    sql_stores: Stores, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr("storage.sql_media.FEW", few)
    sql_stores.jobs.adopt(job("a"), media("a", job_id="a", tags=("sea",)))
    query = MediaQuery(tags=(Tag("Sea"),))
    lines = plan(sql_stores, lambda stores: stores.media.page(query, limit=20, cursor=CURSOR))
    assert "SEARCH media_tags USING COVERING INDEX media_tags_of_key (key=?)" in lines[:4]
    walks = [line for line in lines if line.startswith("SEARCH media USING INDEX media_newest")]
    assert len(walks) == 1 - few
    if not few:
        assert_quick(lines)


def test_the_jobs_that_wait_are_read_in_order(sql_stores: Stores) -> None:
    sql_stores.jobs.add(job("a"), max_pending=1)
    lines = plan(sql_stores, lambda stores: stores.jobs.waiting(per_model=5))
    assert_quick(lines)
    assert "USING INDEX jobs_in_order_of_model (status=? AND model=?)" in lines[1]


def test_a_place_in_the_queue_is_counted_in_an_index(sql_stores: Stores) -> None:
    lines = plan(sql_stores, lambda stores: stores.jobs.queue_position(job("a")))
    assert_quick(lines)
    assert sum("USING COVERING INDEX jobs_in_order (status=? AND priority" in line for line in lines) == 3


def test_the_latest_runs_of_a_model_are_read_from_an_index(sql_stores: Stores) -> None:
    sql_stores.jobs.add(job("a"), max_pending=1)
    sql_stores.jobs.claim(JobId("a"), owner="me", now=NOON, lease_until=LATER)
    sql_stores.jobs.complete(JobId("a"), owner="me", now=NOON, media=(), load_seconds=1, run_seconds=1)
    lines = plan(sql_stores, lambda stores: stores.jobs.records(latest=5))
    assert_quick(lines)
    assert "SEARCH jobs USING INDEX jobs_completed_of_model (model=? AND warmth=?)" in lines


def _submit(stores: Stores) -> None:
    quota = Quota(waiting=9, outputs_per_day=9)
    stores.jobs.add(replace(job("a"), idempotency_key="k"), max_pending=9, quota=quota)


def _resend(stores: Stores) -> None:
    again = Resend(count=1, since=NOON)
    stores.jobs.add(job("a", request_hash="h"), max_pending=9, resend=again)
    stores.jobs.add(job("b", request_hash="h"), max_pending=9, resend=again)


def _tag(stores: Stores) -> None:
    stores.media.add(media("m", job_id=None))
    stores.media.set_tags(MediaId("m"), [Tag("sea")])


def _delete_with_source(stores: Stores) -> None:
    stores.media.add(media("m", job_id=None, source=SENT_ALONG))
    stores.jobs.add(job("a", type="i2v", settings={"source_image_id": "m"}), max_pending=9)
    stores.jobs.clear(now=NOON)
    assert len(stores.jobs.delete(JobId("a"), with_source=True) or ()) == 1


def test_a_request_that_was_sent_before_is_read_from_an_index(sql_stores: Stores) -> None:
    again = Resend(count=1, since=NOON)
    lines = plan(sql_stores, lambda stores: stores.jobs.first_sent("ann", "h", again))
    assert_quick(lines)
    assert "USING INDEX jobs_of_request (client=? AND request_hash=? AND created_at>?)" in lines[0]


@pytest.mark.parametrize(
    "use",
    [
        _submit,
        _resend,
        lambda stores: stores.jobs.get(JobId("a")),
        lambda stores: stores.jobs.claim(JobId("a"), owner="me", now=NOON, lease_until=LATER),
        lambda stores: stores.jobs.renew(owner="me", lease_until=LATER),
        lambda stores: stores.jobs.cancel_requests(owner="me"),
        lambda stores: stores.jobs.held(owner="me"),
        lambda stores: stores.jobs.processing_since(),
        _delete_with_source,
        lambda stores: stores.jobs.clear(now=NOON),
        lambda stores: stores.jobs.counts(),
        lambda stores: stores.jobs.counts(client="ann"),
        lambda stores: stores.jobs.head(limit=5),
        lambda stores: stores.jobs.waiting_counts(),
        lambda stores: stores.media.of_job("a"),
        lambda stores: stores.media.expendable(after=None, limit=9),
        lambda stores: stores.media.expendable(after=media("m", job_id=None), limit=9),
        lambda stores: stores.media.prune([MediaId("m")]),
        _tag,
        lambda stores: stores.media.delete(MediaId("m")),
        lambda stores: stores.jobs.forget(ended_before=NOON, limit=9),
        lambda stores: stores.jobs.forget_keys(now=NOON),
        lambda stores: stores.webhooks.get(JobId("a")),
        lambda stores: stores.webhooks.due(now=NOON, limit=9),
    ],
)
def test_no_other_query_walks_the_table(sql_stores: Stores, use: Use) -> None:
    assert_quick(plan(sql_stores, use))
