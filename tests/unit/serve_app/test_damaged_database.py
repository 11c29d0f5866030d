"""A server whose database is damaged starts all the same, and says what it has done. Else it must open."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from in_process import picture

from configs.settings import Settings
from serve_app import server
from serve_app.server import ServerError
from storage import open_stores
from storage.files import LocalMediaFiles
from storage.media import MediaId


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path / "data")


def test_a_whole_database_and_none_at_all_are_nothing_to_tell_of(settings: Settings) -> None:
    assert server._check_database(settings, here=True) is None
    open_stores(settings.resolved_database_url).close()
    assert server._check_database(settings, here=True) is None


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("sqlite:////proc/no/place", "The database cannot be used"),
        ("postgresql+psycopg://x@127.0.0.1:9/y", "onnection"),
    ],
)
def test_one_that_cannot_be_opened_is_told_before_ray_starts(
    settings: Settings, address: str, sentence: str
) -> None:
    away = settings.model_copy(update={"database_url": address})
    with pytest.raises(ServerError, match=sentence):
        server._check_database(away, here=True)
    assert server._check_database(away, here=False) is None, "the head of a joined cluster may reach it"


def test_a_damaged_one_is_set_aside_and_its_pictures_stay(settings: Settings) -> None:
    open_stores(settings.resolved_database_url).close()
    files = LocalMediaFiles(settings.media_dir)
    old = files.write(MediaId("old"), "image", picture(8, 8), datetime.now(UTC))
    database = settings.data_dir / "cyberimage.sqlite3"
    database.write_bytes(b"noise" * 9999)
    notice = server._check_database(settings, here=True)
    assert notice is not None
    (aside,) = settings.data_dir.glob("cyberimage.sqlite3.corrupt-*")
    for words in ("file is not a database", str(aside), str(settings.media_dir)):
        assert words in notice
    with open_stores(settings.resolved_database_url) as stores:
        assert stores.media.life is None, "what a dispatcher may sweep"
    assert files.path(old).exists()
