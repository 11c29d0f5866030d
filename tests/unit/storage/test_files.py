from __future__ import annotations

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from storage.errors import DiskFull, MediaFileMissing, MediaUnreadable, UnsafePath
from storage.files import LocalMediaFiles
from storage.media import Life, MediaId
from storage.thumbnails import image_thumbnail

DAY = datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-1)))
ID = MediaId("0f3a")
NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=2)
YESTERDAY = NOW - timedelta(days=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def files(root: Path) -> LocalMediaFiles:
    return LocalMediaFiles(root)


def picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (60, 40), "red").save(file, "PNG")
    return file.getvalue()


def left(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def age(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))


def test_files_lie_in_a_folder_of_their_day_in_utc(files: LocalMediaFiles) -> None:
    assert files.write(ID, "image", b"picture", DAY) == "2026/03/02/0f3a.png"
    assert files.write(ID, "video", b"clip", DAY) == "2026/03/02/0f3a.mp4"
    assert files.path("2026/03/02/0f3a.mp4").read_bytes() == b"clip"


def test_a_file_is_on_the_disk_before_it_has_its_name(
    files: LocalMediaFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[str]] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (seen.append(left(root)), sync(descriptor)))
    relative = files.write(ID, "image", b"picture", DAY)
    before, after = seen[-2:]
    assert len(before) == 1
    assert relative not in before
    assert after == {relative}


@pytest.mark.parametrize("call", ["write", "fsync", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_leaves_nothing(
    files: LocalMediaFiles, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    files.write(MediaId("earlier"), "image", b"", DAY)
    monkeypatch.setattr(os, call, _fails_with(OSError(number, os.strerror(number))))
    with pytest.raises(DiskFull, match="disk is full"):
        files.write(ID, "image", b"picture", DAY)
    monkeypatch.undo()
    assert left(root) == {"2026/03/02/earlier.png"}


def test_other_trouble_leaves_nothing_either(
    files: LocalMediaFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", _fails_with(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        files.write(ID, "image", b"picture", DAY)
    assert left(root) == set()


def _fails_with(error: OSError) -> Callable[..., int]:
    def fail(*_: object, **__: object) -> int:
        raise error

    return fail


def test_a_short_write_is_continued(files: LocalMediaFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    relative = files.write(ID, "image", b"a whole picture", DAY)
    assert files.path(relative).read_bytes() == b"a whole picture"


@pytest.mark.parametrize(
    "relative", ["", ".", "..", "../secret", "2026/../../secret", "/etc/passwd", "a\0b", "link/secret"]
)
def test_a_path_that_leaves_the_folder_is_refused(files: LocalMediaFiles, root: Path, relative: str) -> None:
    (root / "link").symlink_to(root.parent)
    for use in (files.path, files.delete, files.thumbnail):
        with pytest.raises(UnsafePath):
            use(relative)


@pytest.mark.parametrize("media_id", ["", "../x", "a/b", "..", ".hidden"])
def test_an_id_that_is_no_file_name_is_refused(files: LocalMediaFiles, root: Path, media_id: str) -> None:
    with pytest.raises(UnsafePath):
        files.write(MediaId(media_id), "image", b"", DAY)
    assert left(root) == set()


def test_a_thumbnail_is_made_when_it_is_missing(files: LocalMediaFiles) -> None:
    relative = files.write(ID, "image", picture(), DAY)
    thumbnail = files.thumbnail(relative)
    assert Image.open(BytesIO(thumbnail.read_bytes())).size == (60, 40)
    thumbnail.unlink()
    assert files.thumbnail(relative).exists()


def test_a_thumbnail_that_was_given_is_kept(files: LocalMediaFiles) -> None:
    relative = files.write(ID, "video", b"not decoded", DAY)
    given = image_thumbnail(picture())
    files.write_thumbnail(relative, given)
    assert files.thumbnail(relative).read_bytes() == given


@pytest.mark.parametrize("left_of_it", [0, 11, 12, 60])
def test_a_damaged_thumbnail_is_made_again(files: LocalMediaFiles, left_of_it: int) -> None:
    relative = files.write(ID, "image", picture(), DAY)
    thumbnail = files.thumbnail(relative)
    thumbnail.write_bytes(thumbnail.read_bytes()[:left_of_it])
    assert Image.open(BytesIO(files.thumbnail(relative).read_bytes())).size == (60, 40)


def test_the_size_of_a_file_is_what_deleting_it_frees(files: LocalMediaFiles) -> None:
    other = files.write(MediaId("other"), "image", b"123", DAY)
    files.write(MediaId("unknown"), "image", b"12345", DAY)
    relative = files.write(ID, "image", picture(), DAY)
    files.thumbnail(relative)
    known = frozenset({other, relative})
    before, freed = files.total(known), files.size(relative)
    files.delete(relative)
    assert freed > 0
    assert files.total(known) == before - freed == 3
    assert files.size(relative) == 0


def test_no_thumbnail_without_a_picture(files: LocalMediaFiles) -> None:
    with pytest.raises(MediaFileMissing):
        files.thumbnail("2026/03/02/gone.png")
    for kind in ("image", "video"):
        relative = files.write(ID, kind, b"noise", DAY)
        with pytest.raises(MediaUnreadable):
            files.thumbnail(relative)


def test_deleting_takes_the_thumbnail_along_and_may_be_repeated(files: LocalMediaFiles, root: Path) -> None:
    relative = files.write(ID, "image", picture(), DAY)
    files.thumbnail(relative)
    files.delete(relative)
    files.delete(relative)
    assert left(root) == set()


def test_no_thumbnail_stays_of_a_file_that_is_deleted_while_it_is_made(
    files: LocalMediaFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = files.write(ID, "image", picture(), DAY)

    def slow(data: bytes) -> bytes:
        files.delete(relative)
        return image_thumbnail(data)

    monkeypatch.setattr("storage.files.image_thumbnail", slow)
    with pytest.raises(MediaFileMissing):
        files.thumbnail(relative)
    assert left(root) == set()


def test_sweeping_removes_what_a_dead_process_left_and_nothing_else(
    files: LocalMediaFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = files.write(MediaId("kept"), "image", picture(), DAY)
    orphan = files.write(MediaId("orphan"), "image", picture(), DAY)
    for relative in (kept, orphan):
        files.thumbnail(relative)
    (root / "2026/03/02" / f".x.png.{'0' * 32}.tmp").write_bytes(b"half")
    (root / "notes.txt").write_text("mine")
    (root / "2026/03/02/holiday.jpg").write_bytes(b"mine too")
    age(root)
    young = files.write(MediaId("young"), "video", b"its row comes next", DAY)
    ever = Life(LONG_AGO - timedelta(days=1), NOW)
    assert files.sweep(frozenset({kept}), older_than=YESTERDAY, lives=[ever]) == (orphan,)
    thumbnail = files.thumbnail(kept).relative_to(root.resolve()).as_posix()
    assert left(root) == {kept, thumbnail, "notes.txt", "2026/03/02/holiday.jpg", young}


def test_sweeping_spares_files_from_when_no_server_of_the_database_ran(
    files: LocalMediaFiles, root: Path
) -> None:
    old = files.write(MediaId("old"), "image", picture(), DAY)
    files.thumbnail(old)
    age(root)
    spared = left(root)
    begin = datetime.now(UTC) - timedelta(seconds=30)
    orphan = files.write(MediaId("orphan"), "image", picture(), DAY)
    later = datetime.now(UTC) + timedelta(hours=1)
    assert files.sweep(frozenset(), older_than=later, lives=[]) == ()
    assert files.sweep(frozenset(), older_than=later, lives=[Life(begin, later)]) == (orphan,)
    assert left(root) == spared
