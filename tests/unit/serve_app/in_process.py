"""The whole server in one process: real stores, dispatcher and API over families without weights."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from PIL import Image

from configs.models import IntRange, MaxBatch, ModelSpec
from configs.registry import Registry
from configs.settings import Settings
from deployments import FAMILIES
from deployments.fake import FakeFamily
from deployments.weights import DownloadSettings
from serve_app.api import Services, create_app
from serve_app.api.automatic1111.clients import Clients
from serve_app.api.openai.refused import Refused
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster
from serve_app.dispatcher import Dispatcher
from serve_app.job_run import Desk
from serve_app.local import LocalCluster, LocalDispatcherClient, LocalFamilyClient
from serve_app.meter import NoMeter
from storage import Stores
from storage.files import LocalMediaFiles
from storage.jobs import Job, JobId, JobStatus, Warmth
from storage.media import Media, MediaId
from tests.generation import model_spec

PATIENCE_S = 10.0
DASHBOARD = "http://127.0.0.1:8265"
MANY = 10_000
_numbers = itertools.count()
_apps: dict[str, FastAPI] = {}
_settings: dict[str, Settings] = {}


def now() -> datetime:
    return datetime.now(UTC)


def spec(name: str, family: Any, **changes: Any) -> ModelSpec:
    plain = model_spec(family, name=name, num_gpus=changes.pop("num_gpus", 1))
    side = IntRange(min=16, max=1024, default=64, multiple=16)
    limits = {"width": side, "height": side, "max_pixels": 2**20} | changes.pop("limits", {})
    alone = {"max_batch": MaxBatch(count=1)}
    return plain.model_copy(update=alone | changes | {"limits": plain.limits.model_copy(update=limits)})


def small_registry() -> Registry:
    frames = IntRange(min=5, max=81, default=5, multiple=4, offset=1)
    return Registry(
        [
            spec("paint", "flux", supports_negative_prompt=False, limits={"max_pixels": 2**18}),
            spec("sketch", "sd35", default_negative_prompt="ugly", limits={"num_images": 4}),
            spec("clip", "wan_t2v", limits={"frames": frames}),
            spec("animate", "wan_i2v", limits={"frames": frames}),
            spec("switched-off", "flux", download_enabled=False),
        ]
    )


class Gate:
    """Holds runs before their step; open unless closed. `reached` tells that a run has come to it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._at: int | None = None
        self._opened = asyncio.Event()

    async def __call__(self, done: int) -> None:
        if done == self._at and not self._opened.is_set():
            self.reached.set()
            await self._opened.wait()

    def close(self, *, after_steps: int = 0) -> None:
        self._at = after_steps
        self.reached.clear()
        self._opened.clear()

    def open(self) -> None:
        self._opened.set()


@dataclass(kw_only=True)
class Workshop:
    """The parts of a server. `family` makes the pictures of FLUX; every deployment has its own."""

    stores: Stores
    files: LocalMediaFiles
    folder: Path
    registry: Registry = field(default_factory=small_registry)
    gpus: float = 1.0
    max_overtake_s: float = 60.0
    preview_every: int = 0
    gate: Gate = field(default_factory=Gate)
    news: Broadcaster = field(default_factory=Broadcaster)
    blocking: Blocking = field(default_factory=lambda: Blocking(threads=4))

    def __post_init__(self) -> None:
        names = {entry.deployment for entry in FAMILIES.values()}
        self.families = {
            name: FakeFamily(before_step=self.gate, preview_every=self.preview_every) for name in names
        }
        self.family = self.families["Flux"]
        self.clients = {name: LocalFamilyClient(family) for name, family in self.families.items()}
        self.cluster = LocalCluster(self.clients, gpus=self.gpus)
        self._dispatchers: list[Dispatcher] = []

    def dispatcher(self, owner: str = "me", *, max_attempts: int = 3, **changes: Any) -> Dispatcher:
        desk = Desk(
            owner=owner,
            jobs=self.stores.jobs,
            media=self.stores.media,
            files=changes.pop("files", self.files),
            blocking=self.blocking,
            news=self.news,
            now=now,
            max_attempts=max_attempts,
            meter=changes.pop("meter", NoMeter()),
        )
        parts = {
            "registry": self.registry,
            "clients": self.clients,
            "cluster": self.cluster,
            "max_overtake_s": self.max_overtake_s,
            "lease_s": 30.0,
        }
        self._dispatchers.append(Dispatcher(desk=desk, **(parts | changes)))
        return self._dispatchers[-1]

    @asynccontextmanager
    async def dispatching(self, dispatcher: Dispatcher | None = None) -> AsyncIterator[Dispatcher]:
        dispatcher = dispatcher or self.dispatcher()
        task = asyncio.create_task(dispatcher.run())
        try:
            yield dispatcher
        finally:
            self.gate.open()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    @asynccontextmanager
    async def serving(self, *, dispatching: bool = True, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
        """A client of the API, with the dispatcher running or only asked."""
        if "requests_per_minute" in settings:  # they are counted in a file; no other test may have spent any
            settings.setdefault("data_dir", self.folder)
        dispatcher = self.dispatcher()
        services = self.services(dispatcher, settings_of(settings))
        app = app_over(services, repr(settings))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            self.dispatching(dispatcher) if dispatching else nothing(),
            httpx.AsyncClient(transport=transport, base_url="http://cyberimage") as client,
        ):
            yield client

    def services(self, dispatcher: Dispatcher, settings: Settings) -> Services:
        return Services(
            settings=settings,
            registry=self.registry,
            jobs=self.stores.jobs,
            media=self.stores.media,
            webhooks=self.stores.webhooks,
            files=self.files,
            automatic1111=Clients(self.folder / "automatic1111.sqlite3"),
            refused=Refused(self.folder / "refused.sqlite3"),
            dispatcher=LocalDispatcherClient(dispatcher, self.news),
            downloads=DownloadSettings(offline=True),
            news=self.news,
            device="cpu",
            clock=now,
            dashboard_url=lambda: DASHBOARD,
            blocking=self.blocking,
        )

    # -- jobs

    def add(
        self, model: str = "paint", *, priority: int = 0, webhook_url: str | None = None, **settings: Any
    ) -> JobId:
        """A waiting job of 2 steps and 64 x 64 pixels."""
        spec = self.registry.get(model) or self.registry["paint"]
        job_id = JobId(f"job-{next(_numbers)}")
        chosen = {
            "type": spec.type,
            "width": 64,
            "height": 64,
            "num_inference_steps": 2,
            "guidance_scale": 4.0,
            "seed": 7,
            "num_images": 1,
        }
        if spec.is_video:
            chosen |= {"num_frames": 5, "fps": 8}
        job = Job(
            id=job_id,
            type=spec.type,
            model=model,
            prompt=f"a picture for {job_id}",
            settings=chosen | settings,
            seed=7,
            created_at=now(),
            priority=priority,
            webhook_url=webhook_url,
        )
        self.stores.jobs.add(job, max_pending=MANY)
        return job_id

    def record(self, model: str = "paint", *, run_s: float, load_s: float, **settings: Any) -> None:
        """A job that has completed, after a swap, in that time."""
        job_id = self.add(model, **settings)
        until = now() + timedelta(minutes=1)
        self.stores.jobs.claim(job_id, owner="past", now=now(), lease_until=until)
        self.stores.jobs.complete(
            job_id,
            owner="past",
            now=now(),
            media=(),
            load_seconds=load_s,
            run_seconds=run_s,
            warmth=Warmth.SWAP,
        )

    def job(self, job_id: str) -> Job:
        job = self.stores.jobs.get(JobId(job_id))
        assert job is not None
        return job

    def status(self, job_id: str) -> JobStatus:
        return self.job(job_id).status

    async def ended(self, *job_ids: str) -> list[Job]:
        """The jobs as soon as all of them have ended, and their thumbnails are made."""
        running = [dispatcher._fleet.runs for dispatcher in self._dispatchers]
        await until(lambda: all(self.status(job_id).ended for job_id in job_ids))
        await until(lambda: not any(job_id in runs for runs in running for job_id in job_ids))
        await until(lambda: not any(dispatcher._desk.background for dispatcher in self._dispatchers))
        return [self.job(job_id) for job_id in job_ids]

    async def reached(self) -> None:
        """A run has come to the closed gate."""
        async with asyncio.timeout(PATIENCE_S):
            await self.gate.reached.wait()

    def media(self, job_id: str) -> tuple[Media, ...]:
        return self.stores.media.of_job(job_id)

    def media_files(self) -> list[str]:
        """Every file under the media folder, thumbnails and unfinished ones too."""
        root = self.files.path("x").parent
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def add_media(self, data: bytes | None = None, **changes: Any) -> Media:
        """A finished picture with its file."""
        media_id = MediaId(f"media-{next(_numbers)}")
        values: dict[str, Any] = {
            "id": media_id,
            "job_id": None,
            "media_type": "image",
            "created_at": now(),
            "width": 64,
            "height": 64,
            "metadata": {"model_id": "paint", "prompt": "a red fox", "seed": 7},
        }
        values |= changes
        path = self.files.write(media_id, values["media_type"], data or picture(64, 64), values["created_at"])
        media = Media(file_path=path, **values)
        self.stores.media.add(media)
        return media


async def until(condition: Callable[[], bool]) -> None:
    """Stores send no events, so they are asked again and again."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


def settings_of(changes: dict[str, Any]) -> Settings:
    """The same are made once: reading the environment takes longer than most requests."""
    if repr(changes) not in _settings:
        _settings[repr(changes)] = Settings(_env_file=None, models="demo", **changes)
    return _settings[repr(changes)]


def app_over(services: Services, key: str) -> FastAPI:
    """The application. One with the same settings is used again: its first request takes longest."""
    if key not in _apps:
        _apps[key] = create_app(services)
    app = _apps[key]
    app.state.services = services
    return app


def clip(content: bytes = b"") -> bytes:
    """What passes for an MP4 file as long as nobody plays it: three boxes, with `content` in the last."""
    boxes = [(b"ftyp", b""), (b"moov", b""), (b"mdat", content)]
    return b"".join((8 + len(inside)).to_bytes(4) + kind + inside for kind, inside in boxes)


def picture(width: int, height: int, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (width, height), (200, 40, 60)).save(buffer, kind, **options)
    return buffer.getvalue()


@contextmanager
def open_workshop(stores: Stores, folder: Path, **parts: Any) -> Iterator[Workshop]:
    workshop = Workshop(stores=stores, files=LocalMediaFiles(folder / "media"), folder=folder, **parts)
    yield workshop
    workshop.blocking.close()
