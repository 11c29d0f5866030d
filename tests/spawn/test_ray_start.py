"""Starting Ray on a machine that is too busy for the time that Ray grants itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from configs.settings import Settings
from serve_app import cluster

SLOW = Exception("The current node timed out during startup. This could happen because of anything.")
STARTED = SimpleNamespace(dashboard_url="127.0.0.1:8265")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    def outcomes(*outcomes: Any) -> list[str]:
        """What each start of Ray comes to; what happens is noted in the list."""
        noted: list[str] = []
        left: Iterator[Any] = iter(outcomes)

        def init(**options: Any) -> Any:
            noted.append("started")
            outcome = next(left)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(ray, "init", init)
        monkeypatch.setattr(ray, "shutdown", lambda: noted.append("shut down"))
        monkeypatch.setattr(cluster.RayProcesses, "end", lambda _: noted.append("ended"))
        return noted

    return outcomes


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, gpus=1)


def test_a_start_that_took_too_long_is_tried_once_more(starts, settings):
    noted = starts(SLOW, STARTED)
    assert cluster._start_ray(settings) is STARTED
    assert noted == ["started", "shut down", "ended", "started"]


def test_it_is_not_tried_for_ever(starts, settings):
    noted = starts(*[SLOW] * cluster.START_TRIES)
    with pytest.raises(Exception, match="timed out"):
        cluster._start_ray(settings)
    assert noted.count("started") == cluster.START_TRIES


def test_another_fault_is_told_at_once(starts, settings):
    noted = starts(ValueError("no such address"))
    with pytest.raises(ValueError, match="no such address"):
        cluster._start_ray(settings)
    assert noted == ["started"]
