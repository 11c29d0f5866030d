"""What keeps jobs from ever starting, with a clock of the test's own."""

from __future__ import annotations

from serve_app.obstacles import REST_S, Obstacles, cannot_start, no_capacity
from tests.generation import model_spec


def test_a_model_that_needs_too_much_is_overdue_after_its_time() -> None:
    obstacles = Obstacles(no_capacity_s=600)
    assert obstacles.overdue(["a"], now=1000) == set()
    assert obstacles.overdue(["a", "b"], now=1599) == set()
    assert obstacles.overdue(["a", "b"], now=1600) == {"a"}
    assert obstacles.overdue(["b"], now=2199) == {"b"}


def test_its_time_begins_anew_when_there_was_enough_meanwhile() -> None:
    obstacles = Obstacles(no_capacity_s=600)
    obstacles.overdue(["a"], now=0)
    obstacles.overdue([], now=599)
    assert obstacles.overdue(["a"], now=600) == set()


def test_a_deployment_rests_for_a_while() -> None:
    obstacles = Obstacles(no_capacity_s=600)
    obstacles.rest("Flux", now=10)
    assert obstacles.resting(now=10) == {"Flux"}
    assert obstacles.resting(now=10 + REST_S) == frozenset()


def test_the_reasons_name_what_is_missing() -> None:
    error = no_capacity(model_spec("flux", name="big"), 4, 1.0)
    assert (error.code, error.message) == ("no_capacity", "big needs 4 GPUs, and there are 1.")
    error = cannot_start("Flux", "Error:\n  File x\nImportError: no such library\n")
    assert error.message == "The workers of Flux do not start: ImportError: no such library"
