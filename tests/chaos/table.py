"""The outcome as tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from statistics import median

from tests.chaos.campaign import Death, Outcome
from tests.chaos.crowd import Call, Kind
from tests.chaos.victims import SORTS

#: Seconds after a death that count as part of it, even if jobs go on at once.
LEAST_S = 5.0


def lines(outcome: Outcome) -> Iterator[str]:
    yield "| killed | times | two jobs done, median and longest | status p99 | submit p99 | unanswered |"
    yield "|---|---|---|---|---|---|"
    yield _row("nothing", "", "", _outside(outcome.calls, outcome.deaths))
    for sort in SORTS:
        deaths = [death for death in outcome.deaths if death.sort == sort]
        if deaths:
            seconds = [death.back_after_s for death in deaths]
            back = f"{median(seconds):.1f} s, {max(seconds):.1f} s"
            yield _row(sort, str(len(deaths)), back, _during(outcome.calls, deaths))
    yield ""
    verdict = outcome.verdict
    yield "| kills | jobs | lost | doubled | orphaned | broken | inconsistent | most attempts |"
    yield "|---|---|---|---|---|---|---|---|"
    wrongs = (verdict.lost, verdict.doubled, verdict.orphaned, verdict.broken, verdict.inconsistent)
    counts = " | ".join(str(len(each)) for each in wrongs)
    yield f"| {len(outcome.deaths)} | {outcome.accepted} | {counts} | {verdict.most_attempts} |"
    yield ""
    ends = ", ".join(f"{number} {status}" for status, number in sorted(verdict.statuses.items()))
    yield f"Ends: {ends}; {outcome.deleted} deleted. Reasons of failures: {dict(verdict.errors) or 'none'}."
    yield from verdict.wrong


def _row(name: str, times: str, back: str, calls: list[Call]) -> str:
    unanswered = sum(not call.answered for call in calls)
    found = [name, times, back, _p99(calls, "status"), _p99(calls, "submit"), f"{unanswered} of {len(calls)}"]
    return f"| {' | '.join(found)} |"


def _p99(calls: Iterable[Call], kind: Kind) -> str:
    took = sorted(call.took_s for call in calls if call.kind == kind and call.answered)
    return f"{1000 * took[math.ceil(0.99 * len(took)) - 1]:.0f} ms ({len(took)})" if took else ""


def _during(calls: Iterable[Call], deaths: list[Death]) -> list[Call]:
    """Those that began, or were under way, between a death and two completed jobs, at least for `LEAST_S`."""
    return [call for call in calls if any(_touches(call, death) for death in deaths)]


def _outside(calls: Iterable[Call], deaths: list[Death]) -> list[Call]:
    return [call for call in calls if not any(_touches(call, death) for death in deaths)]


def _touches(call: Call, death: Death) -> bool:
    return call.began + call.took_s >= death.at and call.began <= death.at + max(death.back_after_s, LEAST_S)
