"""What became of the promises, read from the database and the media folder themselves, and over HTTP."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import av
import httpx
from PIL import Image

from tests.chaos.crowd import ENDED, Promises


@dataclass(kw_only=True)
class Verdict:
    """Sentences about what is wrong, by what kind of wrong it is; and what is only counted."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    inconsistent: list[str] = field(default_factory=list)
    most_attempts: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def wrong(self) -> list[str]:
        found = {
            "lost": self.lost,
            "doubled": self.doubled,
            "orphaned": self.orphaned,
            "broken": self.broken,
            "inconsistent": self.inconsistent,
        }
        return [f"{kind}: {sentence}" for kind, sentences in found.items() for sentence in sentences]


@dataclass(frozen=True, kw_only=True)
class _Rows:
    jobs: dict[str, sqlite3.Row]
    media: dict[str, sqlite3.Row]


def judge(data_dir: Path, url: str, promises: Promises, *, attempts: int = 3) -> Verdict:
    """Everything must have ended, and the sweep after the last start been made."""
    rows = _read(data_dir / "cyberimage.sqlite3")
    verdict = Verdict(doubled=list(promises.doubled), inconsistent=list(promises.refusals))
    _judge_promises(verdict, rows, promises)
    for job in rows.jobs.values():
        _judge_job(verdict, job, rows, promises, attempts)
    _judge_files(verdict, rows, data_dir / "media")
    _judge_replies(verdict, rows, url)
    return verdict


def _read(file: Path) -> _Rows:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        jobs = {row["id"]: row for row in connection.execute("SELECT * FROM jobs")}
        media = {row["id"]: row for row in connection.execute("SELECT * FROM media")}
    return _Rows(jobs=jobs, media=media)


def _judge_promises(verdict: Verdict, rows: _Rows, promises: Promises) -> None:
    for job_id in promises.accepted.values():
        if job_id not in rows.jobs and job_id not in promises.deleted:
            verdict.lost.append(f"job {job_id} was accepted, and there is no such job")
    strangers = rows.jobs.keys() - promises.accepted.values()
    verdict.doubled += [f"nobody was told of job {job_id}" for job_id in strangers]
    keys = Counter(row["idempotency_key"] for row in rows.jobs.values())
    verdict.doubled += [f"{number} jobs for key {key}" for key, number in keys.items() if number > 1]


def _judge_job(verdict: Verdict, job: sqlite3.Row, rows: _Rows, promises: Promises, attempts: int) -> None:
    job_id, status = job["id"], job["status"]
    verdict.statuses[status] += 1
    verdict.most_attempts = max(verdict.most_attempts, job["attempts"])
    if status not in ENDED:
        verdict.lost.append(f"job {job_id} is {status} for ever")
    if job["attempts"] > attempts:
        verdict.inconsistent.append(f"job {job_id} was tried {job['attempts']} times")
    if job["lease_owner"] is not None or (status in ENDED) != (job["completed_at"] is not None):
        verdict.inconsistent.append(f"job {job_id} is {status}, with a lease or without an end")
    if status == "failed":
        verdict.errors[json.loads(job["error"])["code"]] += 1
    media = [row for row in rows.media.values() if row["job_id"] == job_id]
    numbers = [json.loads(row["metadata"])["image_number"] for row in media]
    if status != "completed" and media:
        verdict.inconsistent.append(f"job {job_id} is {status} and has media")
    if len(set(numbers)) != len(numbers):
        verdict.doubled.append(f"job {job_id} has outputs {sorted(numbers)}")
    deleted = sum(whose == job_id for whose in promises.deleted_media.values())
    if status == "completed" and len(media) + deleted < promises.outputs.get(job_id, 0):
        verdict.lost.append(f"job {job_id} has only outputs {sorted(numbers)}")


def _judge_files(verdict: Verdict, rows: _Rows, folder: Path) -> None:
    known = {row["file_path"] for row in rows.media.values()}
    found = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    for name in found - known:
        stem = name.removeprefix(".thumbnails/").removesuffix(".webp")
        if not name.startswith(".thumbnails/") or not {f"{stem}.png", f"{stem}.mp4"} & known:
            verdict.orphaned.append(name)
    verdict.broken += [f"{name} is missing" for name in known - found]
    verdict.broken += [problem for name in known & found if (problem := _problem(folder / name))]


def _problem(file: Path) -> str | None:
    """Why the file cannot be decoded to its end."""
    try:
        if file.suffix == ".png":
            with Image.open(file) as image:
                image.load()
        else:
            with av.open(str(file)) as container:
                frames = sum(1 for _ in container.decode(video=0))
                assert frames > 1, f"{frames} frames"
    except (OSError, SyntaxError, AssertionError, av.FFmpegError) as error:
        return f"{file.name}: {error}"
    return None


def _judge_replies(verdict: Verdict, rows: _Rows, url: str) -> None:
    """HTTP says what the rows say."""
    with httpx.Client(base_url=url, timeout=30) as client:
        for job_id, row in rows.jobs.items():
            view = client.get(f"/api/status/{job_id}").json()
            media = {each["id"] for each in rows.media.values() if each["job_id"] == job_id}
            if view["status"] != row["status"] or set(view["image_ids"]) != media:
                verdict.inconsistent.append(f"job {job_id}: HTTP says {view['status']}, {view['image_ids']}")
