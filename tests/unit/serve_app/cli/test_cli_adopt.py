from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fake_control import INFO, FakeControl

from deployments.encoding import encode_png
from serve_app.server import ServerInfo
from storage import open_stores
from storage.files import LocalMediaFiles
from storage.jobs import JobId
from storage.media import Life, MediaId
from tests.unit.storage.job_examples import job
from tests.unit.storage.test_adoption import METADATA, PIXELS

LONG_AGO = datetime.now(UTC) - timedelta(days=9)


@pytest.fixture
def lost(tmp_path: Path) -> list[str]:
    """A picture with its settings and one without, from before the database; their paths."""
    files = LocalMediaFiles(tmp_path / "data/media")
    pictures = {"fox": encode_png(PIXELS, METADATA | {"prompt": "a fox,\x1b[31m red"}), "upload": b"?"}
    paths = [files.write(MediaId(name), "image", data, LONG_AGO) for name, data in pictures.items()]
    for path in paths:
        os.utime(files.path(path), (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    return paths


def rows(tmp_path: Path) -> set[str]:
    with open_stores(f"sqlite:///{tmp_path}/data/cyberimage.sqlite3") as stores:
        return set(stores.media.file_paths())


def test_what_says_how_it_was_made_is_taken_in(run, tmp_path: Path, lost: list[str]) -> None:
    result = run("adopt")
    assert result.exit_code == 0
    first, second, last = result.stdout.splitlines()
    assert first.endswith(f"{lost[0]}  a fox,[31m red")
    assert second == f"{lost[1]}  says nothing of its making"
    assert last == "took in 1 file; left 1, such as uploads"
    assert rows(tmp_path) == {lost[0]}


@pytest.mark.parametrize(("running", "taken"), [(INFO, 0), (None, 1)], ids=["running", "not running"])
def test_where_no_server_runs_young_files_are_taken_in_and_none_is_left_to_sweep(
    run, tmp_path: Path, running: ServerInfo | None, taken: int
) -> None:
    control = FakeControl(running=running)
    files = LocalMediaFiles(tmp_path / "data/media")
    url, life = f"sqlite:///{tmp_path}/data/cyberimage.sqlite3", Life(LONG_AGO, datetime.now(UTC))
    with open_stores(url) as stores:
        stores.media.set_life(life)
    files.write(MediaId("fox"), "image", encode_png(PIXELS, METADATA), datetime.now(UTC))
    assert f"took in {taken} file" in run("adopt", server=lambda: control).stdout
    with open_stores(url) as stores:
        assert stores.media.life == (life if running else None)


@pytest.mark.parametrize("running", [INFO, None], ids=["running", "not running"])
def test_the_outputs_of_a_processing_job_are_left_and_that_is_told(
    run, tmp_path: Path, lost: list[str], running: ServerInfo | None
) -> None:
    began, life = LONG_AGO - timedelta(minutes=1), Life(LONG_AGO, datetime.now(UTC))
    with open_stores(f"sqlite:///{tmp_path}/data/cyberimage.sqlite3") as stores:
        stores.media.set_life(life)
        stores.jobs.add(job("slow"), max_pending=1)
        stores.jobs.claim(JobId("slow"), owner="cluster", now=began, lease_until=began)
    result = run("adopt", server=lambda: FakeControl(running=running))
    assert result.stdout.splitlines() == ["took in 0 files"]
    assert "are left: processing jobs may have made them" in result.stderr
    with open_stores(f"sqlite:///{tmp_path}/data/cyberimage.sqlite3") as stores:
        assert stores.media.life == life


def test_a_dry_run_takes_nothing_in(run, tmp_path: Path, lost: list[str]) -> None:
    assert (
        run("adopt", "--dry-run").stdout.splitlines()[-1] == "would take in 1 file; left 1, such as uploads"
    )
    assert rows(tmp_path) == set()


def test_what_no_key_may_see_is_warned_of(run, lost: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for keys, admin_keys in (("", ""), ("one", ""), ("one,two", "three")):
        monkeypatch.setenv("CYBERIMAGE_API_KEYS", keys)
        monkeypatch.setenv("CYBERIMAGE_ADMIN_KEYS", admin_keys)
        assert run("adopt", "--dry-run").stderr == ""
    monkeypatch.setenv("CYBERIMAGE_ADMIN_KEYS", "")
    taken, nothing = run("adopt"), run("adopt")
    assert "set a key in CYBERIMAGE_ADMIN_KEYS to see it" in taken.stderr
    assert nothing.stderr == ""


def test_a_data_directory_without_media_is_an_error(run, tmp_path: Path) -> None:
    result = run("adopt", "--data-dir", str(tmp_path / "elsewhere"))
    assert result.exit_code == 1
    assert "there is no folder" in result.stderr
    assert not (tmp_path / "elsewhere").exists()
