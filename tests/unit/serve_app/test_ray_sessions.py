"""The folders that Ray leaves: old sessions, and the logs of processes that have ended."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from serve_app import ray_sessions
from serve_app.ray_sessions import KEPT, remember, tidy

SELF = psutil.Process()


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve logs of ended processes, in three folders; 0 is the oldest."""
    monkeypatch.setattr(ray_sessions, "KEPT_LOGS", 4)
    for number in range(12):
        file = tmp_path / "logs" / ("", "serve", "old")[number % 3] / f"replica_{number}.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("started")
        os.utime(file, (1000 + number, 1000 + number))
    return tmp_path


def logs(session: Path) -> list[int]:
    return sorted(int(file.stem.removeprefix("replica_")) for file in session.rglob("*.log"))


def test_of_the_logs_of_ended_processes_the_newest_are_kept(session: Path):
    assert tidy(session, [SELF]) == 8
    assert logs(session) == [8, 9, 10, 11]
    assert tidy(session, [SELF]) == 0


def test_a_log_that_is_written_is_kept_however_old_it_is(session: Path):
    with (session / "logs" / "replica_0.log").open("a"):
        assert tidy(session, [SELF]) == 7
    assert logs(session) == [0, 8, 9, 10, 11]


def test_a_log_that_is_only_read_is_not(session: Path):
    with (session / "logs" / "replica_0.log").open():
        tidy(session, [SELF])
    assert 0 not in logs(session)


def test_nothing_else_of_the_session_is_removed(session: Path):
    (session / "sockets").mkdir()
    (session / "sockets" / "raylet").touch()
    os.utime(session / "sockets" / "raylet", (0, 0))
    tidy(session, [SELF])
    assert (session / "sockets" / "raylet").exists()


def test_where_it_cannot_be_seen_who_writes_nothing_is_removed(session: Path):
    class Strangers(psutil.Process):
        def open_files(self) -> list[object]:
            raise psutil.AccessDenied

    assert tidy(session, [Strangers()]) == 0


def test_a_process_that_has_ended_meanwhile_writes_nothing(session: Path):
    class Ended(psutil.Process):
        def open_files(self) -> list[object]:
            raise psutil.NoSuchProcess(1)

    assert tidy(session, [Ended(), SELF]) == 8


def test_a_start_removes_all_but_the_latest_sessions_of_its_data_directory(tmp_path: Path):
    sessions = [tmp_path / "ray" / f"session_{number}" for number in range(4)]
    others = tmp_path / "ray" / "session_of_another"
    for folder in (*sessions, others):
        (folder / "logs").mkdir(parents=True)
    for folder in sessions:
        remember(folder, tmp_path)
    assert [folder.exists() for folder in sessions] == [False] * (4 - KEPT) + [True] * KEPT
    assert others.exists()


def test_nothing_is_removed_that_is_no_session(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "ray_sessions").write_text(f"{precious}\n/\n{tmp_path}/ray/session_1\n")
    remember(tmp_path / "ray" / "session_2", tmp_path)
    assert precious.exists()
