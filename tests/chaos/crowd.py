"""Clients at work: they submit, look, cancel, retry and delete, and note what they were promised."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

Kind = Literal["status", "submit", "cancel", "retry", "delete"]
ENDED = ("completed", "failed", "cancelled")

SMALL = {"width": 64, "height": 64, "num_inference_steps": 4}
CLIP = {"width": 64, "height": 64, "num_inference_steps": 2, "num_frames": 9, "fps": 8}
#: Model, settings, and how often.
Wish = tuple[str, dict[str, Any], int]
#: Pictures mostly, since swaps of families take their time.
WISHES: tuple[Wish, ...] = (
    ("demo-flux", SMALL | {"num_images": 2}, 6),
    ("demo-flux", {"width": 128, "height": 128, "num_inference_steps": 12, "num_images": 4}, 4),
    ("demo-sd35", SMALL | {"num_images": 1}, 2),
    ("demo-wan-t2v", CLIP, 1),
    ("demo-ltx-t2v", CLIP, 1),
    ("demo-wan-i2v", CLIP, 1),
    ("demo-ltx-i2v", CLIP, 1),
)
#: Seconds until a request that gets no reply is given up, and until one that must be accepted is.
PATIENCE_S, PERSISTENCE_S = 30.0, 300.0
#: Jobs that may wait: enough that there is always one to run.
WAITING = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request: when it began (monotonic seconds), how long it took, and whether it was answered."""

    kind: Kind
    began: float
    took_s: float
    answered: bool


@dataclass(kw_only=True)
class Promises:
    """What the server has said yes to."""

    #: Job id by idempotency key; a key must never give two.
    accepted: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    #: The job by the medium's id.
    deleted_media: dict[str, str] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


class Crowd:
    """Some threads of clients. Between `begin` and `end` they work; `promises` grows."""

    def __init__(
        self, url: str, seed: int, source_id: Callable[[], str], wishes: Sequence[Wish] = WISHES
    ) -> None:
        self._url = url
        self._wishes = wishes
        self._seed = seed
        self._source_id = source_id
        self.promises = Promises()
        self._open: deque[str] = deque()
        self._ended: deque[str] = deque(maxlen=50)
        self._completions = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._quiet = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(work, number), name=work.__name__)
            for number, work in enumerate((self._submit_now_and_then, self._watch, self._meddle))
        ]

    @property
    def completions(self) -> int:
        """Completed jobs that were seen."""
        return self._completions

    @property
    def open(self) -> int:
        """Accepted jobs that have not been seen to end."""
        return len(self._open)

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit_no_more(self) -> None:
        self._quiet.set()

    def end(self) -> None:
        self._quiet.set()
        self._stop.set()
        for thread in self._threads:
            thread.join(PERSISTENCE_S)

    def _work(self, work: Callable[[httpx.Client, random.Random], None], number: int) -> None:
        rng = random.Random(f"{self._seed} {number}")
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                work(client, rng)

    # -- what they do

    def _submit_now_and_then(self, client: httpx.Client, rng: random.Random) -> None:
        if self._stop.wait(rng.uniform(0.1, 0.6)) or self._quiet.is_set() or self.open >= WAITING:
            return
        model, settings, _ = rng.choices(self._wishes, weights=[often for *_, often in self._wishes])[0]
        path, body = _request(model, settings | {"seed": rng.randrange(1000)}, self._source_id)
        self._accepted(client, "submit", path, body, outputs=settings.get("num_images", 1), rng=rng)

    def _watch(self, client: httpx.Client, rng: random.Random) -> None:
        self._stop.wait(0.05)
        with self._lock:
            job_id = self._open[0] if self._open else None
            self._open.rotate(-1)
        if job_id is None:
            return
        reply = self._call(client, "status", "GET", f"/api/status/{job_id}")
        if reply is None:
            return
        view = reply.json()
        if reply.status_code == 404 or view["status"] in ENDED:
            with self._lock:
                self._open.remove(job_id)
                self._ended.append(job_id)
            self._completions += view.get("status") == "completed"

    def _meddle(self, client: httpx.Client, rng: random.Random) -> None:
        if self._stop.wait(rng.uniform(0.5, 2.0)) or self._quiet.is_set():
            return
        with self._lock:
            open_one = rng.choice(self._open) if self._open else None
            ended = rng.choice(self._ended) if self._ended else None
        deed = rng.choice(("cancel", "cancel", "retry", "delete", "delete medium"))
        if deed == "cancel" and open_one:
            self._call(client, "cancel", "POST", f"/api/jobs/{open_one}/cancel")
        elif deed == "retry" and ended and self.open < WAITING:
            outputs = self.promises.outputs[ended]
            self._accepted(client, "retry", f"/api/jobs/{ended}/retry", None, outputs=outputs, rng=rng)
        elif deed == "delete" and ended:
            self._delete(client, ended)
        elif deed == "delete medium" and ended:
            self._delete_medium(client, ended)

    def _delete(self, client: httpx.Client, job_id: str) -> None:
        # Noted before: a reply that got lost may be that of a deletion that was made.
        self.promises.deleted.add(job_id)
        self._call(client, "delete", "DELETE", f"/api/jobs/{job_id}")

    def _delete_medium(self, client: httpx.Client, job_id: str) -> None:
        reply = self._call(client, "status", "GET", f"/api/status/{job_id}")
        images = reply.json().get("images", ()) if reply is not None else ()
        for image in images[:1]:
            self.promises.deleted_media[image["id"]] = job_id
            self._call(client, "delete", "DELETE", f"/api/image/{image['id']}")

    # -- how they do it

    def _accepted(
        self, client: httpx.Client, kind: Kind, path: str, body: Any, *, outputs: int, rng: random.Random
    ) -> None:
        """Send it until it is accepted, with one key; now and then once more, as if the reply were lost."""
        key = str(uuid.UUID(int=rng.getrandbits(128)))
        deadline = time.monotonic() + PERSISTENCE_S
        while time.monotonic() < deadline and not self._stop.is_set():
            reply = self._call(client, kind, "POST", path, json=body, headers={"Idempotency-Key": key})
            if reply is None:
                time.sleep(0.2)
                continue
            if not reply.is_success:
                if reply.status_code not in (404, 409, 410):  # What it was about has been deleted meanwhile.
                    self.promises.refusals.append(f"{path}: {reply.status_code} {reply.text[:200]}")
                return
            self._note(key, reply.json()["job_id"], outputs)
            if rng.random() < 0.9:
                return

    def _note(self, key: str, job_id: str, outputs: int) -> None:
        known = self.promises.accepted.get(key, job_id)
        if known != job_id and known not in self.promises.deleted:
            self.promises.doubled.append(f"{key}: {known} and {job_id}")
        self.promises.accepted[key] = job_id
        self.promises.outputs[job_id] = outputs
        with self._lock:
            if job_id not in self._open:
                self._open.append(job_id)

    def _call(
        self, client: httpx.Client, kind: Kind, method: str, path: str, **more: Any
    ) -> httpx.Response | None:
        """The reply, or None where there is none or the server says that it cannot now."""
        began = time.monotonic()
        try:
            reply = client.request(method, path, **more)
        except httpx.HTTPError:
            reply = None
        # While it is away or coming back, the front door says 404 in plain text or 5xx: no word of our own.
        ours = reply is not None and reply.headers.get("content-type", "").startswith("application/json")
        answered = ours and reply is not None and reply.status_code < 500
        took_s = time.monotonic() - began
        self.promises.calls.append(Call(kind=kind, began=began, took_s=took_s, answered=answered))
        return reply if answered else None


def _request(model: str, settings: dict[str, Any], source_id: Callable[[], str]) -> tuple[str, Any]:
    prompt = "a large red circle on a blue background"
    if model.endswith("i2v"):
        body = {"video_model_id": model, "video_prompt": prompt, "source_image_id": source_id()}
        return "/api/generate_video", body | {"settings": settings}
    path = "/api/generate_t2v" if model.endswith("t2v") else "/api/generate"
    return path, {"model_id": model, "prompt": prompt, "settings": settings}
