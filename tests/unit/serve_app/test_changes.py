from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from serve_app import changes
from serve_app.changes import Broadcaster, Change, Page, Position


async def test_every_subscriber_hears_of_every_change() -> None:
    news = Broadcaster()
    with news.subscribe() as first, news.subscribe() as second:
        news.publish("a", "pending")
        news.publish("b", "failed")
        assert await first.next() == {"a": "pending", "b": "failed"}
        assert await second.next() == {"a": "pending", "b": "failed"}


async def test_changes_of_one_job_that_were_not_read_in_time_arrive_as_the_last() -> None:
    news = Broadcaster()
    with news.subscribe() as subscription:
        for status in ("pending", "processing", "completed"):
            news.publish("a", status)
        assert await subscription.next() == {"a": "completed"}
        assert await subscription.next(timeout_s=0) == {}


async def test_next_waits_for_a_change() -> None:
    news = Broadcaster()
    with news.subscribe() as subscription:
        asyncio.get_running_loop().call_later(0.001, news.publish, "a", "pending")
        assert await subscription.next(timeout_s=5) == {"a": "pending"}


async def test_a_subscriber_that_gave_up_waiting_misses_nothing() -> None:
    news = Broadcaster()
    with news.subscribe() as subscription:
        assert await subscription.next(timeout_s=0.001) == {}
        news.publish("a", "pending")
        assert await subscription.next(timeout_s=5) == {"a": "pending"}


async def test_news_of_others_are_not_heard_by_who_asks_for_some() -> None:
    news = Broadcaster()
    with news.subscribe({"a", "b"}) as subscription:
        news.publish("c", "pending")
        assert await subscription.next(timeout_s=0) == {}
        news.publish("b", "failed")
        assert await subscription.next() == {"b": "failed"}


async def test_what_happened_before_or_after_a_subscription_is_not_heard() -> None:
    news = Broadcaster()
    news.publish("early", "pending")
    with news.subscribe() as subscription:
        pass
    news.publish("late", "pending")
    assert await subscription.next(timeout_s=0) == {}
    assert not news._subscriptions


async def test_pages_give_changes_and_heartbeats_and_unsubscribe_at_their_end() -> None:
    news = Broadcaster()
    async with aclosing(news.pages(news.newest, heartbeat_s=0.001)) as pages:
        assert (await anext(pages)).changes == ()
        news.publish("a", "pending")
        assert await anext(pages) == Page(Position(news.newest.run, 0), (Change(1, "a", "pending"),))
    assert not news._subscriptions


async def test_a_copy_has_the_same_numbers_however_it_came_by_them() -> None:
    news, early, late = Broadcaster(), Broadcaster(), Broadcaster()
    for job_id, status in (("a", "pending"), ("b", "pending"), ("a", "failed")):
        news.publish(job_id, status)
        early.take(news.after(early.newest))
    late.take(news.after(None))
    for copy in (early, late):
        assert copy.newest == news.newest
        assert copy.after(Position(news.newest.run, 1)) == news.after(Position(news.newest.run, 1))
        assert [change.job_id for change in copy.after(None).changes] == ["b", "a"]


async def test_a_copy_tells_its_own_subscribers() -> None:
    news, copy = Broadcaster(), Broadcaster()
    with copy.subscribe() as subscription:
        news.publish("a", "pending")
        copy.take(news.after(copy.newest))
        assert await subscription.next() == {"a": "pending"}


async def test_a_copy_of_a_successor_forgets_the_predecessor() -> None:
    first, second, copy = Broadcaster(), Broadcaster(), Broadcaster()
    first.publish("a", "pending")
    copy.take(first.after(None))
    last = copy.newest
    copy.take(second.after(last))
    assert not copy.knows(last)
    assert (copy.newest, copy.after(last)) == (second.newest, Page(second.newest))


async def test_a_copy_that_fell_too_far_behind_says_that_it_knows_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "KEPT", 2)
    news, copy = Broadcaster(), Broadcaster()
    copy.take(news.after(None))
    last = copy.newest
    for job_id in "abc":
        news.publish(job_id, "pending")
    copy.take(news.after(last))
    assert not copy.knows(last)
    assert [change.job_id for change in copy.after(last).changes] == ["b", "c"]


@pytest.mark.parametrize("text", ["", "x", "x-", "x--1", "x-1a", "x-\u0663", "x-" + "9" * 20])
def test_what_is_no_position_is_none(text: str) -> None:
    assert Position.parse(text) is None
    assert Position.parse(str(Position("ab", 7))) == Position("ab", 7)
