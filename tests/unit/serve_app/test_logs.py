from __future__ import annotations

import logging
from collections.abc import Iterator
from logging.handlers import MemoryHandler

import pytest

from serve_app.logs import join_serve_log

OURS, SERVES = logging.getLogger("cyberimage"), logging.getLogger("ray.serve")


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    kept = [(log, log.handlers[:], log.propagate) for log in (OURS, SERVES)]
    yield
    for log, handlers, propagate in kept:
        log.handlers[:], log.propagate = handlers, propagate


def test_lines_go_to_the_replicas_file_once(caplog: pytest.LogCaptureFixture) -> None:
    file = MemoryHandler(capacity=10)
    SERVES.handlers[:] = [file]
    join_serve_log()
    join_serve_log()
    logging.getLogger("cyberimage.replica").info("job %s begins", 7)
    assert [record.getMessage() for record in file.buffer] == ["job 7 begins"]
    assert caplog.messages == []


def test_without_a_replica_lines_go_where_they_went(caplog: pytest.LogCaptureFixture) -> None:
    SERVES.handlers[:] = [logging.StreamHandler()]
    join_serve_log()
    logging.getLogger("cyberimage.replica").info("here")
    assert caplog.messages == ["here"]
