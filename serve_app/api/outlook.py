"""What is to come: when jobs start and end, and why they wait. Looked up once for many requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from serve_app.blocking import Blocking
from serve_app.changes import Broadcaster
from serve_app.detached import detached
from serve_app.forecast import HORIZON, Expected, Forecast, Present, forecast
from serve_app.reasons import Reason, reasons
from storage.jobs import Job, JobStatus

log = logging.getLogger("cyberimage.outlook")

#: Seconds for which an outlook holds: at least, and as a multiple of those that making it took.
TTL_S = 1.0
TTL_PER_COST = 20.0
#: The same where an outlook lacks a job that a new one would have.
UNKNOWN_TTL_S = 0.1
UNKNOWN_TTL_PER_COST = 5.0
#: Seconds that a request waits for a new outlook before it takes the last one. While the dispatcher does not
#: answer, that one is the first request; the others do not wait at all.
PATIENCE_S = 1.0


class Dispatcher(Protocol):
    async def present(self) -> Present | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """The queue at the moment `made_at` (monotonic seconds), and what was expected then."""

    present: Present | None = None
    forecast: Forecast = field(default_factory=Forecast)
    reasons: Mapping[str, Reason] = field(default_factory=dict)
    #: Seconds until the running jobs end; None where nothing is known.
    running: Mapping[str, float | None] = field(default_factory=dict)
    made_at: float = 0.0

    def lacks(self, job_id: str) -> bool:
        """Whether the job is none of those that were looked at, though all were."""
        if job_id in self.reasons or job_id in self.running:
            return False
        return self.present is None or len(self.present.line) < HORIZON

    def of(self, job: Job, position: int | None) -> Expected | None:
        """Seconds from now on. None: it cannot be known."""
        return self.expected(job.id, position if job.status is JobStatus.PENDING else None)

    def expected(self, job_id: str, position: int | None) -> Expected | None:
        """The same by id; with the position, of a waiting job."""
        if job_id in self.running:
            left = self.running[job_id]
            then = None if left is None else Expected(start_s=0.0, end_s=left)
        elif position is not None:
            then = self.forecast.of(job_id, position)
        else:
            then = self.forecast.jobs.get(job_id)
        return None if then is None else self._aged(then)

    def _aged(self, then: Expected) -> Expected:
        age = time.monotonic() - self.made_at
        return Expected(start_s=max(0.0, then.start_s - age), end_s=max(0.0, then.end_s - age))


class Outlooks:
    """Makes an outlook when it is asked for and the last one is too old."""

    def __init__(self) -> None:
        self._latest = Outlook(made_at=-TTL_S)
        self._cost_s = 0.0
        self._outdated = False
        self._answered = True
        self._renewal: asyncio.Task[None] | None = None

    async def read(self, dispatcher: Dispatcher, blocking: Blocking, job_id: str | None = None) -> Outlook:
        """The latest; a new one soon if it should know that job and does not."""
        try:
            async with asyncio.timeout(PATIENCE_S if self._answered else 0):
                for _ in range(2):  # The renewal that is under way may have begun before the job was there.
                    if self._is_old(job_id):
                        await asyncio.shield(self._renewing(dispatcher, blocking))
        except TimeoutError:
            self._answered = False
        return self._latest

    def outdate(self) -> None:
        """Someone has changed the queue's order, and will look at what came of it."""
        self._outdated = True

    async def follow(self, news: Broadcaster) -> None:
        """Hear of what was done to the order elsewhere, as by another process. Runs until cancelled."""
        with news.subscribe() as subscription:
            while True:
                changes = await subscription.next()
                if any(self._is_contradicted(*change) for change in changes.items()):
                    self.outdate()

    def _is_contradicted(self, job_id: str, status: str) -> bool:
        """What was waiting already, and is waiting again, was moved; what was running, was taken back."""
        known = job_id in self._latest.reasons or job_id in self._latest.running
        return known and status == JobStatus.PENDING

    def _is_old(self, job_id: str | None) -> bool:
        if self._outdated:
            return True
        age = time.monotonic() - self._latest.made_at
        if job_id is not None and self._latest.lacks(job_id):
            return age > max(UNKNOWN_TTL_S, UNKNOWN_TTL_PER_COST * self._cost_s)
        return age > max(TTL_S, TTL_PER_COST * self._cost_s)

    def _renewing(self, dispatcher: Dispatcher, blocking: Blocking) -> asyncio.Task[None]:
        if self._renewal is None or self._renewal.done():
            self._renewal = detached(self._renew(dispatcher, blocking))
        return self._renewal

    async def _renew(self, dispatcher: Dispatcher, blocking: Blocking) -> None:
        begun = time.monotonic()
        self._outdated = False
        present = await dispatcher.present()
        self._answered = present is not None
        if present is None:
            self._latest = Outlook(made_at=time.monotonic())
            return
        try:
            self._latest = await blocking(_look, present, begun)
        except Exception:  # What jobs do is told all the same.
            log.exception("nothing can be foretold")
            self._latest = Outlook(made_at=time.monotonic())
        self._cost_s = time.monotonic() - begun


def _look(present: Present, made_at: float) -> Outlook:
    expected = forecast(present)
    return Outlook(
        present=present,
        forecast=expected,
        reasons=reasons(present, expected),
        running={job_id: call.left_s for call in present.running for job_id in call.jobs},
        made_at=made_at,
    )
