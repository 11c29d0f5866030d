from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from in_process import until
from presents import idle, present, running, waiting

from serve_app.api import outlook as outlook_module
from serve_app.api.outlook import Outlook, Outlooks
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster
from serve_app.forecast import HORIZON, Expected, Forecast, Present


class Dispatcher:
    """Counts how often it is asked."""

    def __init__(self, now: Present | None) -> None:
        self.now = now
        self.asked = 0

    async def present(self) -> Present | None:
        self.asked += 1
        await asyncio.sleep(0)
        return self.now


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    pool = Blocking(threads=1)
    yield pool
    pool.close()


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known holds for the length of a test, what is missing is looked for at once."""
    monkeypatch.setattr(outlook_module, "TTL_S", 60.0)
    monkeypatch.setattr(outlook_module, "UNKNOWN_TTL_S", 0.0)
    monkeypatch.setattr(outlook_module, "UNKNOWN_TTL_PER_COST", 0.0)


async def test_one_outlook_answers_many_requests(blocking: Blocking) -> None:
    dispatcher, outlooks = Dispatcher(present(waiting("1"))), Outlooks()
    answers = await asyncio.gather(*(outlooks.read(dispatcher, blocking, "1") for _ in range(20)))
    assert dispatcher.asked == 1
    assert {answer.reasons["1"].message for answer in answers} == {"Starting"}


async def test_a_job_that_is_new_gets_a_new_outlook(blocking: Blocking) -> None:
    dispatcher, outlooks = Dispatcher(present(waiting("1"))), Outlooks()
    await outlooks.read(dispatcher, blocking, "1")
    dispatcher.now = present(waiting("1"), waiting("2"))
    assert "2" in (await outlooks.read(dispatcher, blocking, "2")).reasons


async def test_a_job_far_back_in_a_long_line_gets_no_outlook_of_its_own(blocking: Blocking) -> None:
    line = [waiting(str(number)) for number in range(HORIZON)]
    dispatcher, outlooks = Dispatcher(present(*line, idle=(idle("paint"),))), Outlooks()
    for _ in range(3):
        far = (await outlooks.read(dispatcher, blocking, "far")).expected("far", 2 * HORIZON)
    assert dispatcher.asked == 1
    assert far is not None
    assert far.end_s == pytest.approx(2 * HORIZON * 10.0, abs=2)


async def test_running_jobs_end_when_their_call_does(blocking: Blocking) -> None:
    dispatcher = Dispatcher(present(running=(running("paint", 12.0, "1"), running("wan", None, "2"))))
    found = await Outlooks().read(dispatcher, blocking)
    one = found.expected("1", None)
    assert one is not None
    assert one.end_s == pytest.approx(12.0, abs=1)
    assert found.expected("2", None) is None


async def test_nothing_is_foretold_while_the_dispatcher_does_not_answer(blocking: Blocking) -> None:
    found = await Outlooks().read(Dispatcher(None), blocking, "1")
    assert (found.present, found.expected("1", 1)) == (None, None)


async def test_a_forecast_that_fails_is_none(blocking: Blocking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook_module, "forecast", lambda _: 1 / 0)
    outlook = await Outlooks().read(Dispatcher(present(waiting("1"))), blocking, "1")
    assert (outlook.present, outlook.reasons) == (None, {})


def test_what_was_foretold_comes_nearer_with_time() -> None:
    jobs = {"1": Expected(start_s=3.0, end_s=20.0)}
    old = Outlook(forecast=Forecast(jobs=jobs), made_at=time.monotonic() - 5.0)
    now = old.expected("1", 1)
    assert now is not None
    assert (now.start_s, now.end_s) == (0.0, pytest.approx(15.0, abs=1))


async def test_who_changes_the_order_is_shown_the_new_one(blocking: Blocking) -> None:
    dispatcher, outlooks = Dispatcher(present(waiting("1"), waiting("2"))), Outlooks()
    await outlooks.read(dispatcher, blocking)
    dispatcher.now = present(waiting("2"), waiting("1"))
    outlooks.outdate()
    for _ in range(2):
        outlook = await outlooks.read(dispatcher, blocking)
        assert outlook.present == dispatcher.now
    assert dispatcher.asked == 2


@pytest.mark.parametrize(
    ("job_id", "status", "asked"), [("1", "pending", 2), ("1", "processing", 1), ("new", "pending", 1)]
)
async def test_a_move_by_another_process_is_shown_too(
    blocking: Blocking, job_id: str, status: str, asked: int
) -> None:
    dispatcher, outlooks, news = Dispatcher(present(waiting("1"), waiting("2"))), Outlooks(), Broadcaster()
    follower = asyncio.create_task(outlooks.follow(news))
    await outlooks.read(dispatcher, blocking)
    news.publish(job_id, status)
    await asyncio.sleep(0.001)
    await outlooks.read(dispatcher, blocking)
    follower.cancel()
    assert dispatcher.asked == asked


class Silent(Dispatcher):
    """Does not answer before it is told to."""

    def __init__(self, now: Present) -> None:
        super().__init__(now)
        self.back = asyncio.Event()

    async def present(self) -> Present | None:
        await self.back.wait()
        return await super().present()


async def test_requests_hardly_wait_for_a_dispatcher_that_does_not_answer(
    blocking: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook_module, "PATIENCE_S", 0.05)
    dispatcher, outlooks = Silent(present(waiting("1"))), Outlooks()
    async with asyncio.timeout(5):
        for _ in range(200):
            assert (await outlooks.read(dispatcher, blocking, "1")).present is None
    dispatcher.back.set()
    await until(lambda: dispatcher.asked == 1)
    await until(lambda: "1" in outlooks._latest.reasons)
    dispatcher.now = present(waiting("1"), waiting("2"))
    assert "2" in (await outlooks.read(dispatcher, blocking, "2")).reasons, "waited for as ever"


async def test_a_dispatcher_that_was_away_is_asked_again_soon(
    blocking: Blocking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outlook_module, "UNKNOWN_TTL_PER_COST", 1e6)
    dispatcher, outlooks = Dispatcher(None), Outlooks()
    await outlooks.read(dispatcher, blocking, "1")
    dispatcher.now = present(waiting("1"))
    await outlooks.read(dispatcher, blocking, "1")
    await until(lambda: "1" in outlooks._latest.reasons)
