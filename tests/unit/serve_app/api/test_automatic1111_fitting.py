"""Settings fitted to a model's limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.models import FloatRange, IntRange, Limits
from serve_app.api.automatic1111.fitting import fitting_size


def limits(
    *, least: tuple[int, int] = (64, 64), most: tuple[int, int] = (256, 256), area: int = 2**16
) -> Limits:
    wide, high = (
        IntRange(min=low, max=high, default=high, multiple=16) for low, high in zip(least, most, strict=True)
    )
    any_steps, any_scale = IntRange(min=1, max=100, default=20), FloatRange(min=0, max=20, default=4)
    return Limits(steps=any_steps, guidance=any_scale, width=wide, height=high, max_pixels=area)


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ((256, 256), (256, 256)),
        ((96, 160), (96, 160)),
        ((512, 512), (256, 256)),
        ((1024, 512), (256, 128)),
        ((512, 768), (176, 256)),
        ((100, 100), (96, 96)),
        ((32, 48), (64, 96)),
        ((1, 1), (64, 64)),
        ((65536, 1), (256, 64)),
    ],
)
def test_a_size_keeps_its_shape_as_far_as_it_can(asked: tuple[int, int], used: tuple[int, int]) -> None:
    assert fitting_size(limits(), *asked) == used


def test_an_area_that_is_too_large_shrinks_on_both_sides() -> None:
    assert fitting_size(limits(most=(1024, 1024), area=2**18), 1024, 1024) == (512, 512)
    assert fitting_size(limits(most=(1024, 1024), area=2**18), 1024, 512) == (720, 352)


sides = st.integers(1, 65_536)
grid = st.integers(1, 64)


@given(asked=st.tuples(sides, sides), least=st.tuples(grid, grid), more=st.tuples(grid, grid), area=sides)
def test_the_size_is_always_allowed(
    asked: tuple[int, int], least: tuple[int, int], more: tuple[int, int], area: int
) -> None:
    low = (16 * least[0], 16 * least[1])
    most = (low[0] + 16 * more[0], low[1] + 16 * more[1])
    allowed = limits(least=low, most=most, area=max(area, low[0] * low[1]))
    width, height = fitting_size(allowed, *asked)
    assert allowed.width.problem(width) is None
    assert allowed.height.problem(height) is None
    assert width * height <= allowed.max_pixels
