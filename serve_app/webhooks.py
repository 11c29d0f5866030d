"""Telling jobs' ends to the addresses that came with them, as the Standard Webhooks specification has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md names the three
headers, what is signed (`id.timestamp.body`), the `v1,` before a signature, and 410 as an end to all tries.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import httpx

from configs.settings import Settings
from configs.webhooks import signing_key
from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster, Subscription
from storage import JobStore, MediaIndex
from storage.jobs import Job, JobId, JobStatus
from storage.media import Media
from storage.webhooks import Webhook, WebhookStore

log = logging.getLogger("cyberimage.webhooks")

#: Seconds before each further try: five at first, then four times the last; 7.6 h in all.
DELAYS_S = (5, 20, 80, 320, 1280, 5120, 20480)
#: Seconds that a host may take to answer.
ANSWER_S = 10.0
#: Deliveries at the same time.
AT_ONCE = 16
#: Seconds between two looks for what is due, when no job ends meanwhile.
LOOK_S = 5.0
LONGEST_URL = 2000

EndView = Callable[[Job, tuple[Media, ...]], dict[str, Any]]


class AddressRefused(Exception):
    """Nothing is told to this address."""


def check_address(url: str, origins: Sequence[str]) -> None:
    """Raises AddressRefused unless the address is below one of these origins (`scheme://host[:port]`).

    It is read by the library that will be sent it, so both see the same host.
    """
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise AddressRefused(f"webhook_url is no address: {error}") from error
    if len(url) > LONGEST_URL:
        raise AddressRefused(f"webhook_url is longer than {LONGEST_URL} characters")
    if address.userinfo or address.fragment:
        raise AddressRefused("webhook_url must have no user name and no fragment")
    origin = _origin(address)
    if origin not in {_origin(httpx.URL(allowed)) for allowed in origins}:
        raise AddressRefused(
            f"Jobs' ends are not told to {origin}; CYBERIMAGE_WEBHOOK_HOSTS can list it "
            f"({', '.join(origins) or 'it is empty'})"
        )


async def _an_end(subscription: Subscription) -> None:
    """Wait for news of a job that has ended; for LOOK_S at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_S):
            while not any(JobStatus(status).ended for status in (await subscription.next()).values()):
                pass


def _origin(address: httpx.URL) -> str:
    """`scheme://host[:port]`, without a port that goes without saying."""
    return f"{address.scheme}://{address.netloc.decode('ascii')}"


def sign(key: bytes, *, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a message; `timestamp` in seconds since 1970."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sender:
    """Sends one message to one address; knows whereto it may."""

    origins: tuple[str, ...]
    key: bytes
    client: httpx.AsyncClient

    async def send(self, url: str, *, message_id: str, at: datetime, body: bytes) -> None:
        """Raises Undelivered. Follows no redirect, and reads nothing of the answer but its status."""
        timestamp = int(at.timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": f"CyberImage/{version('cyberimage')}",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self.key, message_id=message_id, timestamp=timestamp, body=body),
        }
        try:
            check_address(url, self.origins)
            async with asyncio.timeout(ANSWER_S):
                request = self.client.stream(
                    "POST", url, content=body, headers=headers, follow_redirects=False
                )
                async with request as answer:
                    status = answer.status_code
        except AddressRefused as error:
            raise Undelivered(str(error), final=True) from error
        except TimeoutError as error:
            raise Undelivered(f"no answer within {ANSWER_S:g} s") from error
        except httpx.HTTPError as error:
            raise Undelivered(str(error) or type(error).__name__) from error
        if not 200 <= status < 300:
            raise Undelivered(f"answered {status}", final=status == HTTPStatus.GONE)


class Undelivered(Exception):
    """A try was in vain. `final`: no other will do better."""

    def __init__(self, problem: str, *, final: bool = False) -> None:
        super().__init__(problem)
        self.final = final


def open_sender(settings: Settings) -> Sender | None:
    """None where nothing may be told to anybody."""
    if settings.webhook_secret is None or not settings.webhook_hosts:
        return None
    return Sender(
        origins=settings.webhook_hosts,
        key=signing_key(settings.webhook_secret.get_secret_value()),
        client=httpx.AsyncClient(timeout=ANSWER_S),
    )


class Webhooks:
    """Delivers what is due in one database; there must be one, in the process that owns the queue.

    A message is sent at least once, under one id: after a sudden death, perhaps again.
    """

    def __init__(
        self,
        *,
        webhooks: WebhookStore,
        jobs: JobStore,
        media: MediaIndex,
        sender: Sender,
        view: EndView,
        news: Broadcaster,
        blocking: Blocking,
        now: Callable[[], datetime],
    ) -> None:
        self._webhooks = webhooks
        self._jobs = jobs
        self._media = media
        self._sender = sender
        self._view = view
        self._news = news
        self._blocking = blocking
        self._now = now
        #: What writes down how tries ended of which that has failed, as on a full disk.
        self._unrecorded: dict[JobId, Callable[[], object]] = {}

    async def keep(self) -> None:
        """Deliver when jobs end and when another try is due, until cancelled."""
        with self._news.subscribe() as subscription:
            while True:
                try:
                    delivered = await self.deliver()
                except Exception:
                    log.exception("telling jobs' ends")
                    delivered = 0
                if delivered < AT_ONCE:
                    await _an_end(subscription)

    async def deliver(self) -> int:
        """Try some of those that are due; how many.

        None while the end of an earlier try cannot be written down: it would be sent again and again.
        """
        for job_id, write in list(self._unrecorded.items()):
            await self._record(job_id, write)
        due = await self._blocking(self._webhooks.due, now=self._now(), limit=AT_ONCE)
        tries = await asyncio.gather(*map(self._try, due), return_exceptions=True)
        for outcome in tries:
            if isinstance(outcome, BaseException):
                raise outcome
        return len(due)

    async def _record(self, job_id: JobId, write: Callable[[], object]) -> None:
        self._unrecorded[job_id] = write
        await self._blocking(write)
        del self._unrecorded[job_id]

    async def _try(self, webhook: Webhook) -> None:
        body = await self._blocking(self._body, webhook)
        if body is None:
            return
        try:
            await self._sender.send(
                webhook.url, message_id=f"msg_{webhook.job_id}", at=self._now(), body=body
            )
        except Undelivered as failure:
            await self._failed(webhook, failure)
        else:
            job_id = webhook.job_id
            await self._record(job_id, partial(self._webhooks.delivered, job_id, now=self._now()))
            log.info("job %s: its end was told", webhook.job_id, extra={"job": webhook.job_id})

    async def _failed(self, webhook: Webhook, failure: Undelivered) -> None:
        more = not failure.final and webhook.attempts < len(DELAYS_S)
        next_at = self._now() + timedelta(seconds=DELAYS_S[webhook.attempts]) if more else None
        log.warning(
            "job %s: its end could not be told: %s (%s)",
            webhook.job_id,
            failure,
            "it is tried again" if more else "given up",
            extra={"job": webhook.job_id},
        )
        job_id, problem = webhook.job_id, str(failure)
        await self._record(job_id, partial(self._webhooks.failed, job_id, problem=problem, next_at=next_at))

    def _body(self, webhook: Webhook) -> bytes | None:
        """The view of the ended job; None if it has been deleted meanwhile."""
        job = self._jobs.get(webhook.job_id)
        if job is None:
            return None
        view = self._view(job, self._media.of_job(job.id))
        return json.dumps(view, ensure_ascii=False, separators=(",", ":")).encode()
