"""A running server as a program uses it: submit over HTTP, watch, fetch."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import httpx
from PIL import Image

PROMPT = "a large red circle on a blue background"
#: For a test that ends the job itself: minutes of work, in steps of a fraction of a second.
ENDLESS = {"width": 256, "height": 256, "num_inference_steps": 50, "num_images": 8}
#: Some seconds of work, for a test that interferes and then wants the job completed.
LASTING = {"width": 256, "height": 256, "num_inference_steps": 50, "num_images": 2, "seed": 5}
#: Ends at once.
SHORT = {"width": 64, "height": 64, "num_inference_steps": 2, "num_images": 1}

View = dict[str, Any]
T = TypeVar("T")


def until(look: Callable[[], T], within: float = 60) -> T:
    """What it gives as soon as it gives something."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


class Api:
    """The routes of one server, with waiting. Every call asserts that the server said yes."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=90)

    def close(self) -> None:
        self.http.close()

    def get(self, path: str, **query: Any) -> View:
        reply = self.http.get(path, params=query)
        assert reply.is_success, reply.text
        return reply.json()

    def post(self, path: str, body: Any = None) -> View:
        reply = self.http.post(path, json=body)
        assert reply.is_success, reply.text
        return reply.json()

    # -- submitting: each gives the job's id

    def paint(self, prompt: str = PROMPT, model: str = "demo-flux", **settings: Any) -> str:
        body = {"model_id": model, "prompt": prompt, "settings": settings}
        return self.post("/api/generate", body)["job_id"]

    def film(self, prompt: str = PROMPT, model: str = "demo-wan-t2v", **settings: Any) -> str:
        body = {"model_id": model, "prompt": prompt, "settings": settings}
        return self.post("/api/generate_t2v", body)["job_id"]

    def animate(
        self, source_id: str, model: str = "demo-wan-i2v", prompt: str = PROMPT, **settings: Any
    ) -> str:
        body = {"video_model_id": model, "video_prompt": prompt, "source_image_id": source_id}
        return self.post("/api/generate_video", body | {"settings": settings})["job_id"]

    def upload(self, picture: bytes) -> View:
        reply = self.http.post("/api/upload", files={"file": ("picture", picture)})
        assert reply.status_code == 201, reply.text
        return reply.json()

    # -- watching

    def job(self, job_id: str, wait: float = 0) -> View:
        return self.get(f"/api/status/{job_id}", wait=wait)

    def watch(self, job_id: str, within: float = 240) -> Iterator[View]:
        """What status says until the job has ended, its end included."""
        deadline = time.monotonic() + within
        yield (job := self.job(job_id))
        while job["status"] in ("pending", "processing"):
            assert time.monotonic() < deadline, f"still {job['status']}: {job['message']}"
            yield (job := self.job(job_id, wait=2))

    def until(self, job_id: str, condition: Callable[[View], bool]) -> View:
        """The first view of the job that fulfils the condition. It must not end before."""
        for job in self.watch(job_id):
            if condition(job):
                return job
        raise AssertionError(f"ended as {job['status']}: {job['error']}")

    def painting(self, job_id: str, attempt: int = 1) -> View:
        """The job once that attempt has made its first steps."""
        return self.until(
            job_id, lambda job: job["attempts"] == attempt and (job["progress"]["step"] or 0) > 0
        )

    def end(self, job_id: str) -> View:
        return list(self.watch(job_id))[-1]

    def completed(self, *job_ids: str) -> list[View]:
        jobs = [self.end(job_id) for job_id in job_ids]
        for job in jobs:
            assert job["status"] == "completed", job["error"]
        return jobs

    # -- what came out

    def file(self, media: View) -> bytes:
        reply = self.http.get(media["url"])
        assert reply.is_success, reply.text
        return reply.content

    def files(self, job: View) -> list[bytes]:
        return [self.file(media) for media in job["images"]]

    def picture(self, media: View) -> Image.Image:
        return Image.open(io.BytesIO(self.file(media)))

    # -- what it holds

    def deployment(self, name: str) -> View:
        return self.get("/api/queue", detailed=True)["deployments"][name]

    def until_replicas(self, name: str, count: int, within: float = 90) -> View:
        """The deployment as soon as it has that many replicas, and no other on its way."""
        deadline = time.monotonic() + within
        while True:
            held = self.deployment(name)
            if (held["replicas"], held["starting"]) == (count, 0):
                return held
            assert time.monotonic() < deadline, f"{name}: {held}"
            time.sleep(0.2)
