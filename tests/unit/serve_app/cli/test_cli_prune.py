from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage import Stores, open_stores
from storage.files import LocalMediaFiles
from storage.media import Media, MediaId

DAY = timedelta(days=1)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    """Those of a server that goes on serving meanwhile."""
    with open_stores(f"sqlite:///{tmp_path}/data/cyberimage.sqlite3") as opened:
        yield opened


@pytest.fixture
def files(tmp_path: Path) -> LocalMediaFiles:
    return LocalMediaFiles(tmp_path / "data/media")


@pytest.fixture
def old(stores: Stores, files: LocalMediaFiles) -> list[str]:
    """Three pictures of 1 MB, made 9, 6 and 3 days ago; their paths."""
    paths = []
    for name, days in (("nine", 9), ("six", 6), ("three", 3)):
        made = datetime.now(UTC) - days * DAY
        path = files.write(MediaId(name), "image", bytes(10**6), made)
        metadata = {"prompt": f"a fox,\x1b[31m {days} days old"}
        media = Media(
            id=MediaId(name),
            job_id=None,
            media_type="image",
            file_path=path,
            created_at=made,
            width=8,
            height=8,
            metadata=metadata,
        )
        stores.media.add(media)
        paths.append(path)
    return paths


def left(stores: Stores) -> set[str]:
    return set(stores.media.file_paths())


def test_old_media_go_while_the_server_runs(
    run, stores: Stores, files: LocalMediaFiles, old: list[str]
) -> None:
    result = run("prune", "--older-than", "5")
    assert result.exit_code == 0
    *lines, last = result.stdout.splitlines()
    assert last == "removed 2 files; 2.0 MB are free again"
    assert [line.split("  ")[-2:] for line in lines] == [
        [old[0], "a fox,[31m 9 days old"],
        [old[1], "a fox,[31m 6 days old"],
    ]
    assert left(stores) == {old[2]}
    assert [files.path(path).exists() for path in old] == [False, False, True]


def test_a_dry_run_says_what_would_go_and_keeps_it(run, stores: Stores, old: list[str]) -> None:
    result = run("prune", "--max-gb", "0.0015", "--dry-run")
    assert result.stdout.splitlines()[-1] == "would remove 2 files and free 2.0 MB"
    assert left(stores) == set(old)


def test_the_settings_are_the_limits_where_none_is_given(
    run, stores: Stores, old: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = run("prune")
    assert refused.exit_code == 1
    assert "give --older-than DAYS or --max-gb N" in refused.stderr
    monkeypatch.setenv("CYBERIMAGE_KEEP_DAYS", "8")
    assert "removed 1 file;" in run("prune").stdout
    assert left(stores) == set(old[1:])


@pytest.mark.parametrize("option", ["--older-than", "--max-gb"])
@pytest.mark.parametrize("value", ["-1", "1000001", "1e10", "inf", "nan"])
def test_a_limit_that_is_none_is_refused(
    run, stores: Stores, old: list[str], option: str, value: str
) -> None:
    result = run("prune", option, value)
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.stderr
    assert left(stores) == set(old)


def test_a_malformed_database_address_is_told(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYBERIMAGE_DATABASE_URL", "nonsense")
    result = run("prune", "--older-than", "5")
    assert result.exit_code == 1
    assert "error: Not a database address" in result.stderr


def test_a_folder_without_a_database_is_left_as_it_is(run, tmp_path: Path) -> None:
    result = run("prune", "--older-than", "5", "--data-dir", "elsewhere")
    assert result.exit_code == 1
    assert "there is no database at" in result.stderr
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_is_no_database_is_told(run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/cyberimage.sqlite3").write_bytes(b"noise" * 999)
    result = run("prune", "--older-than", "5")
    assert result.exit_code == 1
    assert "damaged" in result.stderr
