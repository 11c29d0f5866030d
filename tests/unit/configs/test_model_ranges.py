"""The ranges of a model's settings."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from configs.models import FloatRange, IntRange, MaxBatch

FRAMES = IntRange(min=5, max=161, default=81, multiple=4, offset=1)
WIDTH = IntRange(min=256, max=2048, default=1024, multiple=16)


@st.composite
def ranges(draw: st.DrawFn) -> IntRange:
    low = draw(st.integers(-50, 50))
    high = low + draw(st.integers(0, 100))
    multiple, offset = draw(st.integers(1, 33)), draw(st.integers(0, 10))
    allowed = [value for value in range(low, high + 1) if (value - offset) % multiple == 0]
    assume(allowed)
    default = draw(st.sampled_from(allowed))
    return IntRange(min=low, max=high, default=default, multiple=multiple, offset=offset)


@settings(max_examples=50)
@given(ranges(), st.integers(-200, 300))
def test_the_nearest_is_allowed_and_nothing_allowed_is_closer(limit: IntRange, value: int) -> None:
    nearest = limit.nearest(value)
    assert limit.problem(nearest) is None
    allowed = [each for each in range(limit.min, limit.max + 1) if limit.problem(each) is None]
    assert nearest == min(allowed, key=lambda each: (abs(each - value), each))


@settings(max_examples=50)
@given(ranges(), st.integers(-200, 300))
def test_a_value_is_allowed_if_it_is_its_own_nearest(limit: IntRange, value: int) -> None:
    assert (limit.problem(value) is None) == (limit.nearest(value) == value)


@pytest.mark.parametrize(
    ("limit", "value", "problem"),
    [
        (FRAMES, 81, None),
        (FRAMES, 80, "must be a multiple of 4 plus 1; the nearest that fits is 81"),
        (FRAMES, 4, "must be between 5 and 161"),
        (WIDTH, 1000, "must be a multiple of 16; the nearest that fits is 992"),
        (WIDTH, 2049, "must be between 256 and 2048"),
    ],
)
def test_a_problem_says_what_would_be_right(limit: IntRange, value: int, problem: str | None) -> None:
    assert limit.problem(value) == problem


@pytest.mark.parametrize(
    "values",
    [
        {"min": 5, "max": 4, "default": 5},
        {"min": 1, "max": 9, "default": 10},
        {"min": 0, "max": 64, "default": 30, "multiple": 16},
        {"min": 0, "max": 64, "default": 32, "multiple": 0},
        {"min": 0, "max": 64, "default": 32, "step": 16},
    ],
)
def test_a_range_that_contradicts_itself_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        IntRange(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"min": 0, "max": 1, "default": 2},
        {"min": 0, "max": float("nan"), "default": 0},
        {"min": 0, "max": 1, "default": 0, "step": 0},
    ],
)
def test_a_real_range_that_contradicts_itself_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FloatRange(**values)


@pytest.mark.parametrize(
    ("size", "count"), [((64, 64), 8), ((128, 128), 4), ((256, 256), 1), ((512, 512), 1), ((64, 64, 9), 1)]
)
def test_a_batch_is_limited_in_number_and_in_pixels(size: tuple[int, ...], count: int) -> None:
    assert MaxBatch(count=8, pixels=4 * 128 * 128).of(*size) == count
