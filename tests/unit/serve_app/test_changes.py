from __future__ import annotations

import asyncio
from contextlib import aclosing

from serve_app.changes import Broadcaster


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


async def test_what_happened_before_or_after_a_subscription_is_not_heard() -> None:
    news = Broadcaster()
    news.publish("early", "pending")
    with news.subscribe() as subscription:
        pass
    news.publish("late", "pending")
    assert await subscription.next(timeout_s=0) == {}
    assert not news._subscriptions


async def test_a_stream_gives_changes_and_heartbeats_and_unsubscribes_at_its_end() -> None:
    news = Broadcaster()
    async with aclosing(news.stream(heartbeat_s=0.001)) as stream:
        assert await anext(stream) == {}
        news.publish("a", "pending")
        assert await anext(stream) == {"a": "pending"}
    assert not news._subscriptions
