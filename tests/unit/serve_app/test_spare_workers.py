"""The spare worker where Ray's inside is not what it was."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from serve_app import spare_workers
from serve_app.spare_workers import SpareWorker


class Raylet:
    def children(self) -> list[Any]:
        return []


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> SpareWorker:
    monkeypatch.setattr(spare_workers, "LOOK_S", 0.0)
    monkeypatch.setattr(spare_workers, "START_S", 0.0)
    monkeypatch.setattr(spare_workers, "node_here", dict)
    monkeypatch.setattr(spare_workers.psutil.Process, "parent", lambda self: Raylet())
    return SpareWorker()


def run(worker: SpareWorker) -> None:
    worker.start()
    worker.join()


@pytest.mark.parametrize("module", ["ray._private.grpc_utils", "ray.core.generated"])
def test_a_ray_whose_private_modules_have_moved_costs_only_the_spare(
    module: str, worker: SpareWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(spare_workers, "_environment", lambda: "{}")
    monkeypatch.setitem(sys.modules, module, None)
    run(worker)
    assert "no spare worker any more: ModuleNotFoundError" in caplog.text


def test_a_ray_whose_private_functions_want_something_else_costs_only_the_spare(
    worker: SpareWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def changed(node: Any) -> None:
        raise TypeError("unexpected argument")

    monkeypatch.setattr(spare_workers, "_prestart", changed)
    run(worker)
    assert "no spare worker any more: TypeError: unexpected argument" in caplog.text


def test_after_some_tries_that_bring_none_no_more_are_asked_for(
    worker: SpareWorker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(spare_workers, "_prestart", asked.append)
    run(worker)
    assert len(asked) == spare_workers.TRIES
    assert "none of the 5 that were asked for came up" in caplog.text
