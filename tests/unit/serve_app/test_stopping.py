"""SIGINT and SIGTERM: seen by who waits for them, and an interruption to other work."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from serve_app.stopping import STOP_SIGNALS, Stop, stop_signals


@pytest.fixture
def stop() -> Iterator[Stop]:
    with stop_signals() as stop:
        yield stop


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_who_waits_sees_it(stop: Stop, number: signal.Signals) -> None:
    assert not stop.wait(0)
    os.kill(os.getpid(), number)
    assert stop.wait(5)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_work_is_interrupted_once(stop: Stop, number: signal.Signals) -> None:
    cleaned = []

    def work() -> None:
        with stop.interrupting():
            try:
                os.kill(os.getpid(), number)
                signal.pause()
            finally:
                os.kill(os.getpid(), number)
                cleaned.append("up")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert (stop.is_set(), cleaned) == (True, ["up"])


def test_work_that_comes_later_is_not_begun(stop: Stop) -> None:
    stop.set()
    with pytest.raises(KeyboardInterrupt), stop.interrupting():
        pytest.fail("it was to stop")


def test_the_handlers_there_were_are_back() -> None:
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    with stop_signals():
        assert [signal.getsignal(number) for number in STOP_SIGNALS] != before
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before
