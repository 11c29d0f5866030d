"""Shares of GPUs."""

from __future__ import annotations

import pytest

from serve_app.gpus import Gpus


@pytest.mark.parametrize(
    ("replicas", "gpus", "fit"),
    [
        ([], 0, True),
        ([(0.0, 9)], 0, True),
        ([(1.0, 2)], 2, True),
        ([(1.0, 3)], 2, False),
        ([(2.0, 1), (0.5, 2)], 3, True),
        ([(0.6, 2)], 1.2, False),
        ([(0.5, 1), (0.2, 1)], 0.7, True),
        ([(1 / 3, 3)], 1, True),
        ([(0.25, 2), (0.5, 1), (1.0, 1)], 2, True),
        ([(1.0, 1)], 0.5, False),
    ],
)
def test_what_fits(replicas: list[tuple[float, int]], gpus: float, fit: bool) -> None:
    assert Gpus(gpus).pack(replicas) == fit


def test_a_fraction_goes_to_the_fullest_gpu_that_has_room() -> None:
    gpus = Gpus(2)
    gpus.take(0.5)
    gpus.take(0.5)
    assert gpus.fits(1.0)


def test_what_does_not_fit_takes_what_there_is() -> None:
    gpus = Gpus(2)
    gpus.take(3.0)
    assert not gpus.fits(0.1)
