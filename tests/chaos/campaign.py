"""Deaths one after the other while the crowd is at work, and then the verdict."""

from __future__ import annotations

import io
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import httpx
from PIL import Image

from serve_app.dispatcher import ORPHAN_AGE
from tests.chaos.crowd import Call, Crowd
from tests.chaos.machine import Machine
from tests.chaos.verdict import Verdict, judge
from tests.chaos.victims import FOR_GOOD, Sort, kill, schedule

#: Seconds within which a job must complete after a death, all jobs must have ended after the last, and a
#: start must have swept.
BACK_S, END_S, SWEEP_S = 240.0, 600.0, 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """One kill, from its moment (monotonic seconds) until two jobs had completed."""

    sort: Sort
    victim: str
    at: float
    back_after_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    deaths: list[Death]
    calls: list[Call]
    accepted: int
    deleted: int
    verdict: Verdict


class Campaign:
    """`kills` deaths of `sorts`, in an order and at moments that `seed` decides; none after `minutes`."""

    def __init__(
        self, machine: Machine, *, kills: int, sorts: Sequence[Sort], seed: int, minutes: float = math.inf
    ) -> None:
        self._machine = machine
        self._rng = random.Random(seed)
        self._plan = schedule(kills, sorts, self._rng)
        self._crowd = Crowd(machine.url, seed, lambda: self._source_id)
        self._source_id = ""
        self._seconds = 60 * minutes

    def run(self, tell: Callable[[str], None] = lambda words: None) -> Outcome:
        """Raises AssertionError if the server does not come back, or jobs do not end."""
        self._machine.up()
        self._source_id = upload(self._machine.url)
        self._crowd.begin()
        try:
            self._await("first job", lambda: self._crowd.completions > 0, BACK_S)
            deaths, until = [], time.monotonic() + self._seconds
            for number, sort in enumerate(self._plan, start=1):
                if time.monotonic() < until and (death := self._kill(sort)) is not None:
                    deaths.append(death)
                    words = f"{number}/{len(self._plan)} {sort}: {death.victim}, back after"
                    tell(f"{words} {death.back_after_s:.1f} s")
            self._crowd.submit_no_more()
            self._await("end of all jobs", lambda: self._crowd.open == 0, END_S)
        finally:
            self._crowd.end()
        self._start_once_more()
        promises = self._crowd.promises
        return Outcome(
            deaths=deaths,
            calls=promises.calls,
            accepted=len(promises.accepted),
            deleted=len(promises.deleted),
            verdict=judge(self._machine.data_dir, self._machine.url, promises),
        )

    def _kill(self, sort: Sort) -> Death | None:
        """None if for a while there was nothing of the sort to kill."""
        time.sleep(self._rng.uniform(0.2, 3.0))
        deadline = time.monotonic() + 30
        while (victim := kill(self._machine, sort, self._rng)) is None:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.1)
        at, completions = time.monotonic(), self._crowd.completions
        if sort in FOR_GOOD:
            self._machine.up()
        what = f"two completed jobs after the death of {victim}"  # One may have been as good as done.
        self._await(what, lambda: self._crowd.completions > completions + 1, BACK_S)
        return Death(sort=sort, victim=victim, at=at, back_after_s=time.monotonic() - at)

    def _start_once_more(self) -> None:
        """The next start sweeps what deaths have left, once it is old enough to be nobody's."""
        self._machine.kill()
        leftover = self._machine.leave_unfinished_file()
        self._machine.age(ORPHAN_AGE + timedelta(seconds=5))
        self._machine.up()
        self._await("sweep", lambda: not leftover.exists(), SWEEP_S)

    def _await(self, what: str, condition: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            told = f"no {what} within {within_s:g} s\n{self._machine.log[-4000:]}"
            assert time.monotonic() < deadline, told
            time.sleep(0.05)


def upload(url: str) -> str:
    """A picture to animate: its id."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 60, 60)).save(file, "PNG")
    reply = httpx.post(f"{url}/api/upload", files={"file": ("source.png", file.getvalue())}, timeout=60)
    return str(reply.raise_for_status().json()["id"])
