"""What is kept of the clients of AUTOMATIC1111's API."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve_app.api.automatic1111 import clients
from serve_app.api.automatic1111.clients import Clients, Task
from storage.errors import DatabaseUnavailable
from storage.jobs import JobId


@pytest.fixture
def here_and_there(tmp_path: Path) -> tuple[Clients, Clients]:
    """As two ingress processes have it."""
    return Clients(tmp_path / "clients"), Clients(tmp_path / "clients")


def test_every_ingress_process_knows_what_a_client_has_chosen(
    here_and_there: tuple[Clients, Clients],
) -> None:
    here, there = here_and_there
    here.choose("ann", "paint")
    here.choose("ann", "sketch")
    assert [there.checkpoint(client) for client in ("ann", "bob", None)] == ["sketch", None, None]


def test_every_ingress_process_knows_the_tasks_of_a_client(here_and_there: tuple[Clients, Clients]) -> None:
    here, there = here_and_there
    first, second = (Task(id=name, jobs=(JobId(f"{name}-1"), JobId(f"{name}-2"))) for name in "ab")
    for task in (first, second):
        here.begin("ann", task)
    assert there.tasks("ann") == (first, second)
    there.finish("ann", first)
    there.finish("bob", second)
    assert (here.tasks("ann"), here.tasks("bob")) == ((second,), ())


def test_of_very_many_choices_and_tasks_the_oldest_are_forgotten(
    here_and_there: tuple[Clients, Clients], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MOST_CHOICES", 2)
    monkeypatch.setattr(clients, "MOST_TASKS", 2)
    here, there = here_and_there
    for name in ("ann", "bob", "cid"):
        here.choose(name, "paint")
        here.begin("ann", Task(id=name, jobs=(JobId(name),)))
    assert [there.checkpoint(name) for name in ("ann", "bob", "cid")] == [None, "paint", "paint"]
    assert [task.id for task in there.tasks("ann")] == ["bob", "cid"]


def test_a_file_that_cannot_be_used_is_told_as_a_database_away(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable, match="cannot be used"):
        Clients(tmp_path).checkpoint("ann")


def test_beginning_and_finishing_a_task_whose_jobs_are_queued_fails_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = Task(id="a", jobs=(JobId("a-1"),))
    Clients(tmp_path).begin("ann", task)
    Clients(tmp_path).finish("ann", task)
    for words in ("a task is not remembered", "a task is not forgotten"):
        assert words in caplog.text
