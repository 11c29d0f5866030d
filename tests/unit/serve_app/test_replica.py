"""What a replica passes on of a family's events."""

from __future__ import annotations

from collections.abc import AsyncIterator

from deployments.contract import Event, Loading, Progress, Saving
from serve_app.replica import without_haste


async def run_of(steps: int) -> AsyncIterator[Event]:
    yield Loading(message="Loading")
    for step in range(steps + 1):
        yield Progress(step=step, total_steps=steps)
    yield Saving(output=0)


async def test_of_hasty_steps_the_first_and_the_last_are_told() -> None:
    told = [event async for event in without_haste(run_of(12), interval_s=60)]
    assert told == [
        Loading(message="Loading"),
        Progress(step=0, total_steps=12),
        Progress(step=12, total_steps=12),
        Saving(output=0),
    ]


async def test_of_slow_steps_every_one_is_told() -> None:
    told = [event async for event in without_haste(run_of(12), interval_s=0)]
    assert [event.step for event in told if isinstance(event, Progress)] == list(range(13))
