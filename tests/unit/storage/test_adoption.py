from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from deployments.encoding import encode_mp4, encode_png
from storage import Stores
from storage.adoption import Adoption, Found
from storage.files import LocalMediaFiles
from storage.jobs import JobId, JobStatus
from storage.media import MediaId, MediaQuery
from tests.unit.storage.job_examples import WORKER_DIED, job, media

NOW = datetime.now(UTC)
LAST_YEAR = NOW - timedelta(days=400)
SECOND = timedelta(seconds=1)
METADATA = {
    "model_id": "demo-flux",
    "prompt": "a fox",
    "negative_prompt": "",
    "settings": {"type": "image", "width": 32, "height": 16, "num_images": 4, "seed": 7},
    "seed": 9,
    "type": "image",
    "image_number": 3,
    "total_images": 4,
    "width": 32,
    "height": 16,
    "num_inference_steps": 2,
    "guidance_scale": 3.5,
    "sampler": "Euler",
}
PIXELS = np.zeros((16, 32, 3), np.uint8)


@pytest.fixture
def files(tmp_path: Path) -> LocalMediaFiles:
    return LocalMediaFiles(tmp_path / "media")


@pytest.fixture
def adoption(sql_stores: Stores, files: LocalMediaFiles) -> Adoption:
    return Adoption(sql_stores.jobs, sql_stores.media, files)


def left_behind(files: LocalMediaFiles, name: str, data: bytes, *, clip: bool = False) -> str:
    """A file from before the database, as a lost one leaves it: its path."""
    path = files.write(MediaId(name), "video" if clip else "image", data, LAST_YEAR)
    os.utime(files.path(path), (LAST_YEAR.timestamp(), LAST_YEAR.timestamp()))
    return path


def with_text(key: str, text: str) -> bytes:
    chunks = PngInfo()
    chunks.add_text(key, text)
    file = BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def test_a_picture_comes_back_into_the_gallery_with_its_settings(
    adoption: Adoption, sql_stores: Stores, files: LocalMediaFiles
) -> None:
    path = left_behind(files, "fox", encode_png(PIXELS, METADATA))
    (found,) = adoption.find(now=NOW)
    assert found.media is not None
    assert adoption.adopt(found.media)
    (media,) = sql_stores.media.page(MediaQuery(words=("fox",)), limit=9).media
    assert (media.id, media.file_path, media.metadata) == ("fox", path, METADATA)
    assert (media.width, media.height, media.media_type) == (32, 16, "image")
    assert media.created_at == LAST_YEAR.replace(microsecond=media.created_at.microsecond)


def test_its_job_is_one_that_makes_this_output_alone(
    adoption: Adoption, sql_stores: Stores, files: LocalMediaFiles
) -> None:
    left_behind(files, "fox", encode_png(PIXELS, METADATA))
    (found,) = adoption.find(now=NOW)
    assert found.media is not None
    adoption.adopt(found.media)
    (media,) = sql_stores.media.page(MediaQuery(), limit=9).media
    job = sql_stores.jobs.get(JobId("fox"))
    assert job is not None
    assert (job.status, job.type, job.model, job.prompt) == (
        JobStatus.COMPLETED,
        "image",
        "demo-flux",
        "a fox",
    )
    assert (job.seed, job.settings["seed"], job.settings["num_images"]) == (9, 9, 1)
    assert sql_stores.jobs.delete(job.id) == (media,)


def test_a_clip_comes_back_too(adoption: Adoption, sql_stores: Stores, files: LocalMediaFiles) -> None:
    told = METADATA | {"type": "video", "source_image_id": "fox", "settings": {"type": "i2v"}}
    left_behind(files, "clip", encode_mp4([PIXELS] * 3, fps=8, metadata=told), clip=True)
    (found,) = adoption.find(now=NOW)
    assert found.media is not None
    assert adoption.adopt(found.media)
    job = sql_stores.jobs.get(JobId("clip"))
    assert job is not None
    assert (job.type, found.media.media_type, found.media.width) == ("i2v", "video", 32)


def test_what_has_been_adopted_is_not_found_again(adoption: Adoption, files: LocalMediaFiles) -> None:
    left_behind(files, "fox", encode_png(PIXELS, METADATA))
    (found,) = adoption.find(now=NOW)
    assert found.media is not None
    assert adoption.adopt(found.media)
    assert not adoption.adopt(found.media)
    assert not list(adoption.find(now=NOW))


@pytest.mark.parametrize(
    "data",
    [
        b"no picture",
        encode_png(PIXELS, METADATA)[:60],
        encode_png(PIXELS, METADATA | {"seed": "nine"}),
        with_text("cyberimage", "{"),
        with_text("cyberimage", "[]"),
        with_text("parameters", "a fox"),
    ],
    ids=["text", "cut off", "another type", "no JSON", "no object", "another program's"],
)
def test_a_file_that_does_not_say_how_it_was_made_is_left_and_told(
    adoption: Adoption, files: LocalMediaFiles, data: bytes
) -> None:
    path = left_behind(files, "upload", data)
    assert list(adoption.find(now=NOW)) == [Found(file_path=path)]


def test_a_file_of_a_job_that_may_still_run_is_let_alone(adoption: Adoption, files: LocalMediaFiles) -> None:
    files.write(MediaId("new"), "image", encode_png(PIXELS, METADATA), NOW)
    assert not list(adoption.find(now=datetime.now(UTC)))
    assert list(adoption.find(now=datetime.now(UTC) + timedelta(hours=2)))


@pytest.mark.parametrize("served", [True, False])
def test_a_file_that_a_processing_job_may_have_made_is_let_alone_however_long_it_runs(
    adoption: Adoption, sql_stores: Stores, files: LocalMediaFiles, served: bool
) -> None:
    left_behind(files, "fox", encode_png(PIXELS, METADATA))
    for name, began in (("before", LAST_YEAR + SECOND), ("first", LAST_YEAR - SECOND), ("after", NOW)):
        sql_stores.jobs.add(job(name), max_pending=9)
        sql_stores.jobs.claim(JobId(name), owner=name, now=began, lease_until=began)
    assert not list(adoption.find(now=NOW, served=served))
    sql_stores.jobs.fail(JobId("first"), owner="first", now=NOW, error=WORKER_DIED)
    assert [found.file_path[-7:] for found in adoption.find(now=NOW, served=served)] == ["fox.png"]


def test_a_job_can_complete_after_an_adoption_in_the_midst_of_its_run(
    adoption: Adoption, sql_stores: Stores, files: LocalMediaFiles
) -> None:
    sql_stores.jobs.add(job("slow"), max_pending=9)
    sql_stores.jobs.claim(JobId("slow"), owner="me", now=LAST_YEAR - SECOND, lease_until=NOW)
    path = left_behind(files, "fox", encode_png(PIXELS, METADATA))
    for found in adoption.find(now=NOW, served=False):
        assert found.media is not None
        adoption.adopt(found.media)
    made = replace(media("fox", job_id="slow"), file_path=path)
    assert sql_stores.jobs.complete(
        JobId("slow"), owner="me", now=NOW, media=(made,), load_seconds=0, run_seconds=0
    )
    assert not list(adoption.find(now=NOW, served=False))
