"""What every job store promises, on each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest
from job_examples import LATER, NOON, WORKER_DIED, job, media

from storage.errors import (
    ClientQueueFull,
    IdempotencyConflict,
    InvalidCursor,
    KeyOfDeletedJob,
    QueueFull,
    QuotaUsedUp,
)
from storage.jobs import (
    KEY_LIFETIME,
    Job,
    JobError,
    JobId,
    JobProgress,
    JobStatus,
    JobStore,
    Phase,
    Quota,
    Warmth,
)
from storage.media import SENT_ALONG, MediaId
from storage.stores import Stores

ME = "dispatcher-1"
SECOND = timedelta(seconds=1)
MANY = 1000


def add(jobs: JobStore, *names: str, **changes: Any) -> None:
    for name in names:
        jobs.add(job(name, **changes), max_pending=MANY)


def claim(jobs: JobStore, name: str, owner: str = ME) -> Job | None:
    return jobs.claim(JobId(name), owner=owner, now=NOON, lease_until=LATER)


def complete(jobs: JobStore, name: str, owner: str = ME, *, outputs: int = 1) -> bool:
    made = tuple(media(f"{name}-{k}", job_id=name, image_number=k) for k in range(1, outputs + 1))
    return jobs.complete(JobId(name), owner=owner, now=LATER, media=made, load_seconds=1.0, run_seconds=3.0)


def release(jobs: JobStore, name: str, owner: str = ME, max_attempts: int = 3) -> JobStatus | None:
    return jobs.release(JobId(name), owner=owner, now=LATER, max_attempts=max_attempts, error=WORKER_DIED)


def cancel(jobs: JobStore, name: str) -> JobStatus | None:
    return jobs.request_cancel(JobId(name), now=LATER)


def stored(jobs: JobStore, name: str) -> Job:
    found = jobs.get(JobId(name))
    assert found is not None
    return found


def order(jobs: JobStore) -> str:
    return "".join(each.id for each in jobs.waiting(per_model=MANY))


def names(found: tuple[Job, ...]) -> str:
    return "".join(each.id for each in found)


ENDINGS: list[Callable[[JobStore, str], object]] = [
    complete,
    lambda jobs, name: jobs.fail(JobId(name), owner=ME, now=LATER, error=WORKER_DIED),
    lambda jobs, name: jobs.finish_cancel(JobId(name), owner=ME, now=LATER),
    lambda jobs, name: release(jobs, name, max_attempts=1),
]


def test_a_job_comes_back_as_it_was_added(jobs: JobStore) -> None:
    local = NOON.astimezone(timezone(timedelta(hours=2))) + timedelta(microseconds=3)
    given = job(
        "a", created_at=local, negative_prompt="50% _blur_", seed=2**62, client="ann", request_hash="h"
    )
    added = jobs.add(given, max_pending=1)
    assert added == replace(given, position=added.position)
    assert jobs.get(given.id) == added


def test_an_unknown_job_is_none(jobs: JobStore) -> None:
    assert jobs.get(JobId("x")) is None
    assert claim(jobs, "x") is None
    assert cancel(jobs, "x") is None
    assert release(jobs, "x") is None
    assert jobs.delete(JobId("x")) is None


def test_an_ended_job_is_adopted_with_its_output_once(stores: Stores) -> None:
    ended = job("old", status=JobStatus.COMPLETED, completed_at=NOON, attempts=1)
    output = media("old", job_id="old")
    assert stores.jobs.adopt(ended, output)
    assert not stores.jobs.adopt(ended, output)
    assert stores.jobs.get(ended.id) == ended
    assert stores.media.of_job("old") == (output,)
    assert not stores.jobs.records(latest=9)


def test_a_full_queue_refuses_and_a_claim_makes_room(jobs: JobStore) -> None:
    add(jobs, "a", "b")
    with pytest.raises(QueueFull):
        jobs.add(job("c"), max_pending=2)
    assert jobs.get(JobId("c")) is None
    claim(jobs, "a")
    jobs.add(job("c"), max_pending=2)


def test_an_idempotency_key_gives_the_first_job_again_even_when_the_queue_is_full(jobs: JobStore) -> None:
    first = jobs.add(job("a", idempotency_key="k", request_hash="h"), max_pending=1)
    claim(jobs, "a")
    add(jobs, "b")
    again = jobs.add(job("c", idempotency_key="k", request_hash="h"), max_pending=1)
    assert (again.id, again.status) == (first.id, JobStatus.PROCESSING)
    assert jobs.get(JobId("c")) is None


def test_an_idempotency_key_with_another_request_is_a_conflict(jobs: JobStore) -> None:
    add(jobs, "a", idempotency_key="k", request_hash="h")
    with pytest.raises(IdempotencyConflict):
        add(jobs, "b", idempotency_key="k", request_hash="other")


def test_idempotency_keys_belong_to_a_client(jobs: JobStore) -> None:
    for client in (None, "ann", "bob"):
        added = jobs.add(job(f"of-{client}", client=client, idempotency_key="k"), max_pending=MANY)
        assert added.id == f"of-{client}"


def test_one_client_may_fill_only_its_part_of_the_queue(jobs: JobStore) -> None:
    quota = Quota(waiting=2)
    for name in "ab":
        jobs.add(job(name, client="ann"), max_pending=MANY, quota=quota)
    with pytest.raises(ClientQueueFull):
        jobs.add(job("c", client="ann"), max_pending=MANY, quota=quota)
    jobs.add(job("d", client="bob"), max_pending=MANY, quota=quota)
    cancel(jobs, "a")
    jobs.add(job("c", client="ann"), max_pending=MANY, quota=quota)


def test_a_client_may_ask_for_so_many_outputs_a_day_and_deleting_gives_none_back(jobs: JobStore) -> None:
    quota = Quota(outputs_per_day=3)

    def ask(name: str, outputs: int = 1, **values: Any) -> None:
        values = {"client": "ann", "settings": {"num_images": outputs}} | values
        jobs.add(job(name, **values), max_pending=MANY, quota=quota)

    ask("a", 2)
    cancel(jobs, "a")
    jobs.delete(JobId("a"))
    with pytest.raises(
        QuotaUsedUp, match=r"3 outputs a day .* 1 left today, and this job makes 2"
    ) as refusal:
        ask("b", 2)
    assert refusal.value.retry_after_s == 12 * 3600
    ask("c")
    with pytest.raises(QuotaUsedUp, match="0 left today"):
        ask("d")
    ask("e", 3, client="bob")
    ask("f", 3, created_at=NOON + timedelta(hours=12))
    assert jobs.counts()[JobStatus.PENDING] == 3


def test_what_was_asked_for_before_is_not_counted_again(jobs: JobStore) -> None:
    quota = Quota(waiting=1, outputs_per_day=1)
    for _ in range(3):
        jobs.add(job("a", client="ann", idempotency_key="k"), max_pending=MANY, quota=quota)


def test_a_claim_happens_once_and_counts_an_attempt(jobs: JobStore) -> None:
    add(jobs, "a")
    claimed = claim(jobs, "a")
    assert claimed is not None
    assert claimed == stored(jobs, "a")
    assert (claimed.status, claimed.attempts, claimed.started_at) == (JobStatus.PROCESSING, 1, NOON)
    assert (claimed.lease_owner, claimed.lease_expires_at) == (ME, LATER)
    assert claim(jobs, "a", owner="another") is None


def test_completing_records_the_outputs_with_the_end(stores: Stores) -> None:
    jobs = stores.jobs
    add(jobs, "a", client="ann")
    claim(jobs, "a")
    assert complete(jobs, "a", outputs=2)
    done = stored(jobs, "a")
    assert (done.status, done.completed_at, done.run_seconds) == (JobStatus.COMPLETED, LATER, 3.0)
    assert (done.media_path, done.lease_owner) == ("2026/03/01/a-1.png", None)
    assert [each.id for each in stores.media.of_job("a")] == ["a-1", "a-2"]


@pytest.mark.parametrize("end", ENDINGS)
def test_an_ended_job_stays_as_it_ended(jobs: JobStore, end: Callable[[JobStore, str], object]) -> None:
    add(jobs, "a")
    claim(jobs, "a")
    assert end(jobs, "a")
    ended = stored(jobs, "a")
    assert ended.status.ended
    for again in ENDINGS:
        assert not again(jobs, "a")
    assert claim(jobs, "a") is None
    assert cancel(jobs, "a") is ended.status
    assert not jobs.move(ended.id, before=None)
    assert stored(jobs, "a") == ended


def test_only_the_owner_of_the_claim_may_change_a_job(jobs: JobStore) -> None:
    add(jobs, "a")
    claim(jobs, "a", owner="another")
    progress = JobProgress(phase=Phase.LOADING)
    assert not any(end(jobs, "a") for end in ENDINGS)
    assert not jobs.record_progress(JobId("a"), owner=ME, progress=progress)
    assert jobs.renew(owner=ME, lease_until=LATER) == 0
    assert stored(jobs, "a").status is JobStatus.PROCESSING


def test_a_failed_job_says_why(jobs: JobStore) -> None:
    add(jobs, "a")
    claim(jobs, "a")
    error = JobError(code="out_of_memory", message="The GPU's memory is full.", hint="Try a smaller size.")
    assert jobs.fail(JobId("a"), owner=ME, now=LATER, error=error)
    assert (stored(jobs, "a").status, stored(jobs, "a").error) == (JobStatus.FAILED, error)


def test_progress_is_seen_and_forgotten_when_the_worker_dies(jobs: JobStore) -> None:
    add(jobs, "a")
    claim(jobs, "a")
    progress = JobProgress(phase=Phase.GENERATING, step=3, total_steps=28, message="3 of 28")
    assert jobs.record_progress(JobId("a"), owner=ME, progress=progress)
    assert stored(jobs, "a").progress == progress
    release(jobs, "a")
    assert stored(jobs, "a").progress is None


def test_a_released_job_takes_its_old_place_until_its_attempts_are_used_up(jobs: JobStore) -> None:
    add(jobs, "a", "b")
    for attempt in (1, 2):
        claim(jobs, "a")
        assert release(jobs, "a") is JobStatus.PENDING
        waiting = stored(jobs, "a")
        assert (waiting.attempts, waiting.started_at, waiting.lease_owner) == (attempt, None, None)
        assert order(jobs) == "ab"
    claim(jobs, "a")
    assert release(jobs, "a") is JobStatus.FAILED
    assert stored(jobs, "a").error == WORKER_DIED
    assert stored(jobs, "a").completed_at == LATER


def test_a_released_job_whose_cancel_was_requested_is_cancelled(jobs: JobStore) -> None:
    add(jobs, "a")
    claim(jobs, "a")
    cancel(jobs, "a")
    assert release(jobs, "a", max_attempts=1) is JobStatus.CANCELLED
    assert stored(jobs, "a").error is None


def test_cancelling_a_pending_job_ends_it_at_once(jobs: JobStore) -> None:
    add(jobs, "a")
    assert cancel(jobs, "a") is JobStatus.PENDING
    assert (stored(jobs, "a").status, stored(jobs, "a").completed_at) == (JobStatus.CANCELLED, LATER)
    assert order(jobs) == ""


def test_cancelling_a_running_job_marks_it_for_its_dispatcher(stores: Stores) -> None:
    jobs = stores.jobs
    add(jobs, "a", "b")
    claim(jobs, "a")
    claim(jobs, "b")
    assert cancel(jobs, "a") is JobStatus.PROCESSING
    assert jobs.cancel_requests(owner=ME) == ("a",)
    assert jobs.cancel_requests(owner="another") == ()
    assert not complete(jobs, "a")
    assert stores.media.of_job("a") == ()
    assert jobs.finish_cancel(JobId("a"), owner=ME, now=LATER)
    assert jobs.cancel_requests(owner=ME) == ()


def test_renewing_extends_every_lease_of_the_owner(jobs: JobStore) -> None:
    add(jobs, "a", "b", "c")
    claim(jobs, "a")
    claim(jobs, "b")
    claim(jobs, "c", owner="another")
    assert jobs.renew(owner=ME, lease_until=LATER + SECOND) == 2
    assert stored(jobs, "a").lease_expires_at == LATER + SECOND
    assert stored(jobs, "c").lease_expires_at == LATER


def test_recovering_takes_back_the_jobs_of_other_dispatchers(jobs: JobStore) -> None:
    add(jobs, "a", "b", "c")
    claim(jobs, "a", owner="dead")
    claim(jobs, "b", owner="dead")
    claim(jobs, "c")
    cancel(jobs, "b")
    taken = jobs.recover(owner=ME, now=LATER, max_attempts=3, error=WORKER_DIED)
    assert taken == {"a": JobStatus.PENDING, "b": JobStatus.CANCELLED}
    states = [stored(jobs, name).status for name in "abc"]
    assert states == [JobStatus.PENDING, JobStatus.CANCELLED, JobStatus.PROCESSING]


def test_recovering_can_spare_leases_that_still_hold(jobs: JobStore) -> None:
    add(jobs, "a")
    claim(jobs, "a", owner="slow")
    recover = {"owner": ME, "max_attempts": 1, "error": WORKER_DIED, "only_expired": True}
    assert jobs.recover(now=LATER, **recover) == {}
    assert jobs.recover(now=LATER + SECOND, **recover) == {"a": JobStatus.FAILED}
    assert stored(jobs, "a").error == WORKER_DIED


def test_what_an_orderly_end_hands_back_has_lost_no_attempt(jobs: JobStore) -> None:
    add(jobs, "a", "b", "c")
    for _ in range(5):
        claim(jobs, "a")
        jobs.hand_back(now=LATER)
        job = stored(jobs, "a")
        assert (job.status, job.attempts, job.started_at) == (JobStatus.PENDING, 0, None)
    claim(jobs, "b")
    cancel(jobs, "b")
    jobs.hand_back(now=LATER)
    assert [stored(jobs, name).status for name in "abc"] == [
        *(JobStatus.PENDING, JobStatus.CANCELLED, JobStatus.PENDING)
    ]
    assert (stored(jobs, "b").completed_at, stored(jobs, "b").attempts) == (LATER, 1)


def test_waiting_jobs_run_by_priority_then_in_order_of_arrival(jobs: JobStore) -> None:
    add(jobs, "a", "b")
    add(jobs, "c", priority=5)
    add(jobs, "d", priority=-1)
    add(jobs, "e", model="sd35")
    add(jobs, "f", priority=-1, client="ann")
    assert order(jobs) == "cabedf"
    waiting = {each.id: each for each in jobs.waiting(per_model=9)}
    assert (waiting[JobId("e")].model, waiting[JobId("e")].client) == ("sd35", None)
    assert (waiting[JobId("f")].client, waiting[JobId("f")].settings) == ("ann", job("f").settings)


def test_waiting_is_cut_off_per_model(jobs: JobStore) -> None:
    add(jobs, "a", "b", "c")
    add(jobs, "d", "e", "f", model="sd35")
    assert "".join(each.id for each in jobs.waiting(per_model=2)) == "abde"


def test_queue_positions_count_from_one_in_running_order(jobs: JobStore) -> None:
    add(jobs, "a", "b", "c")
    add(jobs, "d", priority=1)
    claim(jobs, "a")
    assert [jobs.queue_position(stored(jobs, name)) for name in "dbc"] == [1, 2, 3]


def test_a_job_moves_before_another_and_takes_its_priority(jobs: JobStore) -> None:
    add(jobs, "a", "b", "c")
    add(jobs, "d", priority=4)
    assert jobs.move(JobId("c"), before=JobId("b"))
    assert order(jobs) == "dacb"
    assert jobs.move(JobId("b"), before=JobId("d"))
    assert order(jobs) == "bdac"
    assert stored(jobs, "b").priority == 4


def test_a_job_moves_to_the_end_of_its_priority(jobs: JobStore) -> None:
    add(jobs, "a", "b", "c")
    add(jobs, "d", priority=-1)
    assert jobs.move(JobId("a"), before=None)
    assert order(jobs) == "bcad"


def test_moving_a_job_before_itself_changes_nothing(jobs: JobStore) -> None:
    add(jobs, "a", "b")
    assert jobs.move(JobId("b"), before=JobId("b"))
    assert order(jobs) == "ab"


def test_only_pending_jobs_move_and_only_before_pending_ones(jobs: JobStore) -> None:
    add(jobs, "a", "b")
    claim(jobs, "a")
    assert not jobs.move(JobId("a"), before=None)
    assert not jobs.move(JobId("b"), before=JobId("a"))
    assert not jobs.move(JobId("b"), before=JobId("x"))


def test_places_never_run_out_however_often_jobs_move(jobs: JobStore) -> None:
    add(jobs, "r", "a", "b", "c")
    claim(jobs, "r")
    for _ in range(40):
        jobs.move(JobId("c"), before=JobId("b"))
        jobs.move(JobId("b"), before=JobId("c"))
    assert order(jobs) == "abc"
    release(jobs, "r")
    assert order(jobs) == "rabc"


def test_clearing_cancels_what_waits_of_one_client_or_of_all(jobs: JobStore) -> None:
    add(jobs, "a", client="ann")
    add(jobs, "b", "c")
    claim(jobs, "c")
    assert jobs.clear(now=LATER, client="ann") == ("a",)
    assert order(jobs) == "b"
    assert jobs.clear(now=LATER) == ("b",)
    assert [stored(jobs, name).status for name in "ab"] == [JobStatus.CANCELLED] * 2
    assert stored(jobs, "c").status is JobStatus.PROCESSING


def test_deleting_removes_an_ended_job_with_its_outputs_and_returns_those(stores: Stores) -> None:
    jobs = stores.jobs
    add(jobs, "a")
    assert jobs.delete(JobId("a")) is None
    claim(jobs, "a")
    assert jobs.delete(JobId("a")) is None
    complete(jobs, "a", outputs=2)
    outputs = jobs.delete(JobId("a"))
    assert outputs is not None
    assert [each.id for each in outputs] == ["a-1", "a-2"]
    assert jobs.get(JobId("a")) is None
    assert stores.media.of_job("a") == ()


def test_pages_run_newest_first_and_meet_every_job_once(jobs: JobStore) -> None:
    for index, name in enumerate("abcdefg"):
        add(jobs, name, created_at=NOON + timedelta(microseconds=index // 2))
    seen, cursor = "", None
    while True:
        page = jobs.page(limit=3, cursor=cursor)
        seen, cursor = seen + names(page.jobs), page.next_cursor
        if cursor is None:
            break
        add(jobs, f"new-{cursor}", created_at=LATER)
    assert seen == "gfedcba"


def test_pages_can_be_narrowed(jobs: JobStore) -> None:
    add(jobs, "a", "b", client="ann")
    add(jobs, "c", model="sd35")
    claim(jobs, "b")
    assert names(jobs.page(limit=9, status=JobStatus.PROCESSING).jobs) == "b"
    assert names(jobs.page(limit=9, model="sd35").jobs) == "c"
    assert names(jobs.page(limit=9, client="ann").jobs) == "ba"
    assert names(jobs.page(limit=9, client="ann", status=JobStatus.PENDING, model="flux").jobs) == "a"


def test_several_are_added_together_or_not_at_all(stores: Stores) -> None:
    jobs, quota = stores.jobs, Quota(outputs_per_day=4)
    url = "https://hooks.example/x"
    with pytest.raises(QueueFull):
        jobs.add_all([job("a", webhook_url=url), job("b"), job("c")], max_pending=2, quota=quota)
    assert order(jobs) == ""
    assert stores.webhooks.get(JobId("a")) is None
    added = jobs.add_all([job(name) for name in "abcd"], max_pending=4, quota=quota)
    assert names(added) == order(jobs) == "abcd"
    with pytest.raises(QuotaUsedUp):
        jobs.add_all([job("e")], max_pending=9, quota=quota)


def test_those_added_together_come_back_together(jobs: JobStore) -> None:
    keyed = [job(name, idempotency_key=name) for name in "ab"]
    first = jobs.add_all(keyed, max_pending=9)
    again = [replace(each, id=JobId(f"{each.id}2")) for each in keyed]
    assert jobs.add_all(again, max_pending=2) == first
    with pytest.raises(IdempotencyConflict):
        jobs.add_all([job("c"), replace(again[1], request_hash="other")], max_pending=9)
    assert order(jobs) == "ab"


def test_pages_can_run_oldest_first_and_show_clips_alone(jobs: JobStore) -> None:
    for index, kind in enumerate(["t2v", "image", "i2v", "t2v", "i2v"]):
        add(jobs, "abcde"[index], type=kind, created_at=NOON + timedelta(microseconds=index // 2))
    assert names(jobs.page(limit=9, clips=True).jobs) == "edca"
    first = jobs.page(limit=3, clips=True, oldest_first=True)
    assert names(first.jobs) == "acd"
    rest = jobs.page(limit=3, clips=True, oldest_first=True, cursor=first.next_cursor)
    assert (names(rest.jobs), rest.next_cursor) == ("e", None)


@pytest.mark.parametrize("cursor", ["", "x", "nonsense", "é", "bm90IGEgdGltZSBhdCBhbGw", "////", "a" * 5000])
def test_a_cursor_that_was_never_issued_is_refused(jobs: JobStore, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        jobs.page(limit=1, cursor=cursor)


def test_counts_can_be_of_one_client(jobs: JobStore) -> None:
    add(jobs, "a", "b", client="ann")
    add(jobs, "c", client="bob")
    claim(jobs, "a")
    counts = jobs.counts(client="ann", since=NOON)
    assert (counts[JobStatus.PENDING], counts[JobStatus.PROCESSING], sum(counts.values())) == (1, 1, 2)
    assert sum(jobs.counts(client="nobody").values()) == 0


def test_counts_name_every_status(jobs: JobStore) -> None:
    add(jobs, "a", "b")
    add(jobs, "c", created_at=LATER)
    cancel(jobs, "b")
    counts = jobs.counts()
    assert set(counts) == set(JobStatus)
    assert (counts[JobStatus.PENDING], counts[JobStatus.CANCELLED], counts[JobStatus.FAILED]) == (2, 1, 0)
    assert sum(jobs.counts(since=LATER).values()) == 1


def test_history_averages_by_model(jobs: JobStore) -> None:
    add(jobs, "a", "b")
    add(jobs, "c", model="sd35")
    add(jobs, "d", model="old", created_at=NOON - SECOND)
    claim(jobs, "a")
    complete(jobs, "a")
    history = jobs.history(since=NOON)
    assert set(history) == {"flux", "sd35"}
    assert history["flux"].average_run_seconds == 3.0
    assert history["flux"].average_load_seconds == 1.0
    assert history["flux"].counts[JobStatus.COMPLETED] == history["flux"].counts[JobStatus.PENDING] == 1
    assert history["sd35"].average_run_seconds is None


def test_pausing_is_remembered(jobs: JobStore) -> None:
    assert jobs.paused is False
    for paused in (True, False):
        jobs.set_paused(paused)
        assert jobs.paused is paused


def test_records_are_the_latest_completed_jobs_of_each_model_and_warmth(jobs: JobStore) -> None:
    for number, name in enumerate("abcd"):
        add(jobs, name, settings={"width": number})
    add(jobs, "other", model="sd35")
    add(jobs, "failed", model="wan")
    for name in ("a", "b", "c", "d", "other", "failed"):
        claim(jobs, name)
    for seconds, name in enumerate(["a", "d", "c", "b", "other"]):
        jobs.complete(
            JobId(name),
            owner=ME,
            now=LATER + seconds * SECOND,
            media=(),
            load_seconds=1.0,
            run_seconds=3.0,
            warmth=Warmth.SWAP if name != "a" else Warmth.WARM,
            batch_size=2,
        )
    jobs.fail(JobId("failed"), owner=ME, now=LATER, error=WORKER_DIED)
    records = jobs.records(latest=2)
    assert [r.settings["width"] for r in records] == [0, 1, 2, 64]
    assert [r.model for r in records] == ["flux", "flux", "flux", "sd35"]
    assert [r.warmth for r in records] == [Warmth.WARM, Warmth.SWAP, Warmth.SWAP, Warmth.SWAP]
    assert {(r.load_seconds, r.run_seconds, r.batch_size) for r in records} == {(1.0, 3.0, 2)}


def test_the_head_of_the_queue_is_in_running_order(jobs: JobStore) -> None:
    for name, priority in [("a", 0), ("b", 5), ("c", 0), ("d", 0)]:
        add(jobs, name, priority=priority)
    assert [each.id for each in jobs.head(limit=3)] == ["b", "a", "c"]


def test_waiting_jobs_are_counted_by_model(jobs: JobStore) -> None:
    for name, model in [("a", "flux"), ("b", "sd35"), ("c", "flux"), ("gone", "wan")]:
        add(jobs, name, model=model)
    claim(jobs, "gone")
    assert jobs.waiting_counts() == {"flux": 2, "sd35": 1}


def test_a_deleted_jobs_key_holds_for_a_day_from_its_submit(jobs: JobStore) -> None:
    add(jobs, "a", idempotency_key="k", client="ann")
    cancel(jobs, "a")
    jobs.delete(JobId("a"))
    soon, later = NOON + KEY_LIFETIME - SECOND, NOON + KEY_LIFETIME
    with pytest.raises(KeyOfDeletedJob):
        add(jobs, "b", idempotency_key="k", client="ann", created_at=soon)
    with pytest.raises(IdempotencyConflict):
        add(jobs, "b", idempotency_key="k", client="ann", created_at=soon, request_hash="other")
    add(jobs, "c", idempotency_key="k", client="bob", created_at=soon)
    add(jobs, "b", idempotency_key="k", client="ann", created_at=later)
    cancel(jobs, "b")
    jobs.delete(JobId("b"))
    with pytest.raises(KeyOfDeletedJob):
        add(jobs, "d", idempotency_key="k", client="ann", created_at=later)


def test_keys_are_forgotten_when_they_hold_no_longer(jobs: JobStore) -> None:
    for name, age in (("a", 0), ("b", 1)):
        add(jobs, name, idempotency_key=name, created_at=NOON + age * SECOND)
        cancel(jobs, name)
        jobs.delete(JobId(name))
    assert jobs.forget_keys(now=NOON + KEY_LIFETIME - SECOND) == 0
    assert jobs.forget_keys(now=NOON + KEY_LIFETIME) == 1
    assert jobs.forget_keys(now=NOON + KEY_LIFETIME + SECOND) == 1


def test_the_processing_jobs_have_run_since_the_first_of_them_began(jobs: JobStore) -> None:
    assert jobs.processing_since() is None
    add(jobs, "b", "a", "waiting")
    for name, began in (("b", LATER), ("a", NOON)):
        jobs.claim(JobId(name), owner=name, now=began, lease_until=LATER)
    assert jobs.processing_since() == NOON
    complete(jobs, "a", "a")
    assert jobs.processing_since() == LATER
    release(jobs, "b", "b")
    assert jobs.processing_since() is None


def add_animation(jobs: JobStore, name: str, source: str | None) -> None:
    add(jobs, name, type="i2v", settings={"type": "i2v"} | ({"source_image_id": source} if source else {}))


def test_a_picture_sent_along_goes_with_the_last_job_that_names_it(stores: Stores) -> None:
    jobs, sent = stores.jobs, media("sent", job_id=None, source=SENT_ALONG)
    stores.media.add(sent, client="ann")
    for name in "abc":
        add_animation(jobs, name, "sent")
    assert jobs.delete(JobId("a"), with_source=True) is None, "it has not ended"
    claim(jobs, "a")
    complete(jobs, "a")
    cancel(jobs, "b")
    assert jobs.delete(JobId("a"), with_source=True) == (media("a-1", job_id="a", image_number=1),)
    assert jobs.delete(JobId("b")) == ()
    assert stores.media.get(sent.id) == sent
    cancel(jobs, "c")
    assert jobs.delete(JobId("c"), with_source=True) == (sent,)
    assert stores.media.get(sent.id) is None


def test_a_picture_sent_along_stays_with_a_job_that_is_deleted_alone(stores: Stores) -> None:
    stores.media.add(media("sent", job_id=None, source=SENT_ALONG))
    add_animation(stores.jobs, "a", "sent")
    cancel(stores.jobs, "a")
    assert stores.jobs.delete(JobId("a")) == ()
    assert stores.media.get(MediaId("sent")) is not None


@pytest.mark.parametrize("source", ["upload", "output", "gone", None])
def test_no_other_source_goes_with_its_job(stores: Stores, source: str | None) -> None:
    stores.media.add(media("upload", job_id=None, source="upload"))
    add(stores.jobs, "made")
    claim(stores.jobs, "made")
    output = media("output", job_id="made", source=SENT_ALONG)
    stores.jobs.complete(JobId("made"), owner=ME, now=LATER, media=(output,), load_seconds=1, run_seconds=1)
    add_animation(stores.jobs, "a", source)
    cancel(stores.jobs, "a")
    assert stores.jobs.delete(JobId("a"), with_source=True) == ()
    assert stores.media.file_paths() == {"2026/03/01/upload.png", "2026/03/01/output.png"}
