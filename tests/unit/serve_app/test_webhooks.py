"""Jobs' ends are told to the addresses that came with them: signed, in the end, and to nobody else."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from in_process import Workshop, until

from configs.settings import Settings
from configs.webhooks import signing_key
from serve_app.api.views import end_view
from serve_app.webhooks import (
    DELAYS_S,
    AddressRefused,
    Sender,
    Webhooks,
    check_address,
    open_sender,
    sign,
)
from storage import open_stores
from storage.errors import DiskFull
from storage.jobs import JobId

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://hooks.example/cyberimage?of=me"


class Receiver:
    """A host that answers with the next of `answers`, at last with 204."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, headers={"Location": "http://127.0.0.1/"})

    @property
    def ids(self) -> list[str]:
        return [request.headers["webhook-id"] for request in self.requests]


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC) + timedelta(seconds=9)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def webhooks(
    workshop: Workshop,
    receiver: Callable[[httpx.Request], httpx.Response],
    clock: Callable[[], datetime],
    *,
    origins: tuple[str, ...] = ("https://hooks.example",),
) -> Webhooks:
    client = httpx.AsyncClient(transport=httpx.MockTransport(receiver))
    return Webhooks(
        webhooks=workshop.stores.webhooks,
        jobs=workshop.stores.jobs,
        media=workshop.stores.media,
        sender=Sender(origins=origins, key=signing_key(SECRET), client=client),
        view=end_view,
        news=workshop.news,
        blocking=workshop.blocking,
        now=clock,
    )


def ended(workshop: Workshop, url: str = URL) -> JobId:
    job_id = workshop.add(webhook_url=url)
    workshop.stores.jobs.request_cancel(job_id, now=datetime.now(UTC))
    return job_id


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    signature = sign(
        signing_key(SECRET),
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_the_end_is_told_with_the_jobs_status_and_a_signature(workshop: Workshop, clock: Clock) -> None:
    receiver = Receiver()
    async with workshop.dispatching():
        job_id = workshop.add(webhook_url=URL)
        await workshop.ended(job_id)
    assert await webhooks(workshop, receiver, clock).deliver() == 1
    (request,) = receiver.requests
    told = json.loads(request.content)
    assert (request.method, str(request.url)) == ("POST", URL)
    assert (told["id"], told["status"]) == (job_id, "completed")
    assert told["images"][0]["url"] == f"/api/image/{workshop.media(job_id)[0].id}"
    timestamp, message_id = int(request.headers["webhook-timestamp"]), request.headers["webhook-id"]
    assert timestamp == int(clock.now.timestamp())
    expected = sign(signing_key(SECRET), message_id=message_id, timestamp=timestamp, body=request.content)
    assert request.headers["webhook-signature"] == expected
    webhook = workshop.stores.webhooks.get(job_id)
    assert webhook is not None
    assert webhook.status == "delivered"


@pytest.mark.parametrize(
    "answer", [500, 404, 302, 199, httpx.ConnectError("refused"), httpx.ReadTimeout("slow")], ids=repr
)
async def test_a_try_in_vain_is_repeated_later_under_the_same_id(
    workshop: Workshop, clock: Clock, answer: int | Exception
) -> None:
    receiver = Receiver(answer, answer)
    job_id, teller = ended(workshop), webhooks(workshop, receiver, clock)
    for delay in DELAYS_S[:2]:
        assert await teller.deliver() == 1
        assert await teller.deliver() == 0
        clock.forward(delay)
    assert await teller.deliver() == 1
    assert receiver.ids == [f"msg_{job_id}"] * 3
    assert len({request.headers["webhook-timestamp"] for request in receiver.requests}) == 3
    webhook = workshop.stores.webhooks.get(job_id)
    assert webhook is not None
    assert (webhook.status, webhook.attempts, webhook.problem) == ("delivered", 3, None)


async def test_tries_end_after_some_hours(workshop: Workshop, clock: Clock) -> None:
    receiver = Receiver(*[503] * 99)
    job_id, teller = ended(workshop), webhooks(workshop, receiver, clock)
    began = clock.now
    while await teller.deliver():
        webhook = workshop.stores.webhooks.get(job_id)
        assert webhook is not None
        clock.now = webhook.next_at or clock.now
    assert len(receiver.requests) == len(DELAYS_S) + 1 == 8
    assert timedelta(hours=7) < clock.now - began < timedelta(hours=8)
    assert (webhook.status, webhook.problem) == ("failed", "answered 503")


async def test_a_host_that_wants_no_more_is_left_in_peace(workshop: Workshop, clock: Clock) -> None:
    receiver = Receiver(410)
    job_id, teller = ended(workshop), webhooks(workshop, receiver, clock)
    await teller.deliver()
    clock.forward(10**6)
    assert await teller.deliver() == 0
    webhook = workshop.stores.webhooks.get(job_id)
    assert webhook is not None
    assert webhook.status == "failed"


async def test_no_redirect_is_followed(workshop: Workshop, clock: Clock) -> None:
    receiver = Receiver(302, 307, 308)
    ended(workshop)
    await webhooks(workshop, receiver, clock).deliver()
    assert [str(request.url) for request in receiver.requests] == [URL]


async def test_a_host_that_is_listed_no_longer_is_told_nothing(workshop: Workshop, clock: Clock) -> None:
    receiver = Receiver()
    job_id = ended(workshop)
    await webhooks(workshop, receiver, clock, origins=("https://other.example",)).deliver()
    assert receiver.requests == []
    webhook = workshop.stores.webhooks.get(job_id)
    assert webhook is not None
    assert webhook.status == "failed"


async def test_one_that_does_not_answer_does_not_keep_the_others(
    workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.webhooks.ANSWER_S", 0.05)
    slow, quick = ended(workshop, URL), ended(workshop, "https://hooks.example/quick")

    async def answer(request: httpx.Request) -> httpx.Response:
        if "quick" not in str(request.url):
            await asyncio.Event().wait()
        return httpx.Response(200)

    await webhooks(workshop, answer, clock).deliver()  # type: ignore[arg-type]
    found = [workshop.stores.webhooks.get(job_id) for job_id in (slow, quick)]
    assert [each and (each.status, each.problem) for each in found] == [
        ("failing", "no answer within 0.05 s"),
        ("delivered", None),
    ]


@asynccontextmanager
async def telling(teller: Webhooks) -> AsyncIterator[None]:
    task = asyncio.create_task(teller.keep())
    yield
    task.cancel()
    await asyncio.wait([task])


async def test_an_end_is_told_at_once(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_app.webhooks.LOOK_S", 60.0)
    receiver = Receiver()
    async with telling(webhooks(workshop, receiver, lambda: datetime.now(UTC))), workshop.dispatching():
        job_id = workshop.add(webhook_url=URL)
        await until(lambda: bool(receiver.requests))
    assert receiver.ids == [f"msg_{job_id}"]


async def test_what_was_not_delivered_before_a_restart_is_sent_again(
    make_workshop: Callable[..., Workshop], tmp_path: Path, clock: Clock
) -> None:
    receiver = Receiver(500)
    for _ in range(2):
        with open_stores(f"sqlite:///{tmp_path / 'kept.sqlite3'}") as stores:
            workshop = make_workshop()
            workshop.stores = stores
            if not receiver.requests:
                ended(workshop)
            await webhooks(workshop, receiver, clock).deliver()
        clock.forward(DELAYS_S[0])
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1


async def test_trouble_with_the_database_does_not_end_the_telling(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("serve_app.webhooks.LOOK_S", 0.001)
    receiver = Receiver()
    ask, fails = workshop.stores.webhooks.due, iter([True, True])

    def due(**limits: object) -> object:
        if next(fails, False):
            raise RuntimeError("out of order")
        return ask(**limits)  # type: ignore[arg-type]

    monkeypatch.setattr(workshop.stores.webhooks, "due", due)
    ended(workshop)
    with caplog.at_level(logging.ERROR):
        async with telling(webhooks(workshop, receiver, lambda: datetime.now(UTC))):
            await until(lambda: bool(receiver.requests))
    assert "out of order" in caplog.text


@pytest.mark.parametrize(
    ("answer", "name", "status"), [(200, "delivered", "delivered"), (500, "failed", "failing")]
)
async def test_a_try_whose_end_cannot_be_written_down_is_not_made_again(
    workshop: Workshop, clock: Clock, monkeypatch: pytest.MonkeyPatch, answer: int, name: str, status: str
) -> None:
    receiver, job_id = Receiver(answer), ended(workshop)
    record, full = getattr(workshop.stores.webhooks, name), iter([True, True, True])

    def unlucky(*told: Any, **more: Any) -> Any:
        if next(full, False):
            raise DiskFull("no room")
        return record(*told, **more)

    monkeypatch.setattr(workshop.stores.webhooks, name, unlucky)
    teller = webhooks(workshop, receiver, clock)
    for _ in range(3):
        with pytest.raises(DiskFull):
            await teller.deliver()
    assert await teller.deliver() == 0
    assert len(receiver.ids) == 1
    webhook = workshop.stores.webhooks.get(job_id)
    assert webhook is not None
    assert (webhook.status, webhook.attempts) == (status, 1)


ORIGINS = ("https://hooks.example", "http://10.0.0.5:8080", "https://[fd00::1]", "https://port.example:443")
GOOD = [
    "https://hooks.example",
    "https://HOOKS.example:443/a/b?c=d",
    "http://10.0.0.5:8080/x",
    "https://[fd00::1]/x",
    "https://port.example/",
]
BAD = [
    "",
    "hooks.example",
    "/relative",
    "http://hooks.example/",
    "https://hooks.example:8443/",
    "https://hooks.example./",
    "https://hooks.example.evil.example/",
    "https://evil.example/?https://hooks.example",
    "https://hooks.example@evil.example/",
    "https://user:word@hooks.example/",
    "https://evil.example\\@hooks.example/",
    "https://hooks.example\\.evil.example/",
    "https://evil.example#@hooks.example/",
    "https://hooks.example/#part",
    "https://sub.hooks.example/",
    "http://10.0.0.5/",
    "http://10.0.0.5:80808/",
    "http://167772165:8080/",
    "http://0x0a.0.0.5:8080/",
    "http://127.0.0.1:8080/",
    "http://[::ffff:10.0.0.5]:8080/",
    "file:///etc/passwd",
    "gopher://hooks.example/",
    "https://hooks.example/\r\nHost: evil.example",
    "https://hook\u017f.example/",
    "https://hooks.example/" + "a" * 3000,
]


@pytest.mark.parametrize("url", GOOD)
def test_an_address_on_a_listed_host_will_do(url: str) -> None:
    check_address(url, ORIGINS)


@pytest.mark.parametrize("url", BAD, ids=lambda url: repr(url)[:60])
def test_an_address_on_another_host_or_port_or_by_another_scheme_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        check_address(url, ORIGINS)


def test_nothing_is_sent_where_no_host_is_listed() -> None:
    assert open_sender(Settings(_env_file=None)) is None
    assert open_sender(Settings(_env_file=None, webhook_secret=SECRET)) is None
    with pytest.raises(AddressRefused, match="it is empty"):
        check_address("http://127.0.0.1/", ())
