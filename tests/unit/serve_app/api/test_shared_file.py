"""The file that the ingress processes share: a damaged one is begun anew, also under many at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Barrier, Event

import pytest

from serve_app.api.shared_file import SharedFile
from storage.errors import DatabaseUnavailable

SCHEMA = "CREATE TABLE IF NOT EXISTS words (number INTEGER PRIMARY KEY, word TEXT)"
ADD = "INSERT INTO words (word) VALUES (?)"
ALL = "SELECT word FROM words ORDER BY word"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One with more than a page of words."""
    path = tmp_path / "words.sqlite3"
    for _ in range(10):
        SharedFile(path, SCHEMA).run(ADD, ["old" * 500])
    return path


def no_database(file: Path) -> None:
    file.write_bytes(b"noise" * 9999)


def malformed(file: Path) -> None:
    """The first page, which has the schema, is whole; the others are not."""
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))


@pytest.mark.parametrize("damage", [no_database, malformed])
@pytest.mark.parametrize("statement", [ADD, "DELETE FROM words WHERE word = ?"])
def test_a_damaged_file_is_begun_anew_with_the_statement(
    file: Path, damage: Callable[[Path], None], statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    damage(file)
    beside = [file.with_name(file.name + part) for part in ("-journal", "-wal", "-shm")]
    for part in beside:
        part.write_bytes(b"left over")
    shared = SharedFile(file, SCHEMA)
    shared.run(statement, ["new"])
    assert shared.run(ALL) == ([("new",)] if statement == ADD else [])
    assert not any(part.exists() for part in beside)
    assert caplog.text.count("is damaged and begun anew") == 1


def test_many_who_find_it_damaged_at_once_begin_one_new_file(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    malformed(file)
    count = 16
    together = Barrier(count)

    def add(number: int) -> None:
        together.wait()
        SharedFile(file, SCHEMA).run(ADD, [f"{number:02}"])

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(add, range(count)))
    assert SharedFile(file, SCHEMA).run(ALL) == [(f"{number:02}",) for number in range(count)]
    assert caplog.text.count("is damaged and begun anew") == 1


def test_a_damaged_file_is_removed_when_nobody_uses_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, go_on = Event(), Event()

    class Slow(sqlite3.Connection):
        def executescript(self, script: str) -> sqlite3.Cursor:
            opened.set()
            go_on.wait(10)
            return super().executescript(script)

    connect = sqlite3.connect
    with ThreadPoolExecutor(2) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", partial(connect, factory=Slow))
            first = pool.submit(SharedFile(file, SCHEMA).run, ADD, ["a"])
            assert opened.wait(10)
        malformed(file)
        second = pool.submit(SharedFile(file, SCHEMA).run, ADD, ["b"])
        wait([second], timeout=0.2)
        waited = not second.done()
        go_on.set()
        for each in (first, second):
            each.result()
    assert waited
    assert SharedFile(file, SCHEMA).run(ALL) == [("a",), ("b",)]


def test_a_locked_file_stays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.api.shared_file.PATIENCE_S", 0.05)
    with closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="locked"):
            SharedFile(file, SCHEMA).run(ADD, ["new"])
    assert len(SharedFile(file, SCHEMA).run(ALL)) == 10
