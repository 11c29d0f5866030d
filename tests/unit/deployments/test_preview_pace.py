"""Previews come neither too often nor at the picture's cost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.preview_pace import INTERVAL_S, SHARE, Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def preview(pace: Pace, clock: Clock, seconds: float, pictures: int = 1) -> None:
    clock.now += seconds
    pace.spent(seconds, pictures)


def test_a_run_that_is_over_soon_has_none(clock: Clock) -> None:
    pace = Pace(clock)
    clock.now += INTERVAL_S * 0.9
    assert not pace.allows(1)
    clock.now += INTERVAL_S * 0.2
    assert pace.allows(1)


def test_quick_previews_are_apart_by_the_interval(clock: Clock) -> None:
    pace = Pace(clock)
    clock.now += 10
    preview(pace, clock, 0.001)
    assert not pace.allows(1)
    clock.now += INTERVAL_S
    assert pace.allows(1)


def test_slow_previews_wait_until_they_are_a_small_part_of_the_run(clock: Clock) -> None:
    pace = Pace(clock)
    clock.now += 1
    preview(pace, clock, 1.0)
    clock.now += 1.0 / SHARE - 2.1
    assert not pace.allows(1)
    clock.now += 0.2
    assert pace.allows(1)


def test_the_next_run_knows_what_a_preview_takes_but_not_from_the_first_of_all(clock: Clock) -> None:
    pace = Pace(clock)
    clock.now += 1
    preview(pace, clock, 5.0)
    pace.begin()
    clock.now += 1
    assert pace.allows(1)
    preview(pace, clock, 0.5)
    pace.begin()
    clock.now += 0.4 / SHARE
    assert not pace.allows(1)
    clock.now += 0.2 / SHARE
    assert pace.allows(1)
    assert not pace.allows(2)


@given(st.lists(st.tuples(st.floats(0.01, 5), st.floats(0.001, 2)), min_size=1, max_size=40))
def test_previews_that_take_as_long_as_expected_keep_to_their_share(steps: list[tuple[float, float]]) -> None:
    clock = Clock()
    pace = Pace(clock)
    cost = steps[0][1]
    for _ in range(2):  # What the first of all takes is not known, and the second is the first to be counted.
        preview(pace, clock, cost)
    pace.begin()
    begun, spent = clock.now, 0.0
    for step_s, _ in steps:
        clock.now += step_s
        if pace.allows(1):
            preview(pace, clock, cost)
            spent += cost
            assert spent <= SHARE * (clock.now - begun)
