"""How much of its daily quota a client has used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from storage.errors import QuotaUsedUp
from storage.jobs import Job


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Outputs that a client has asked for on one day (ISO 8601, UTC)."""

    day: str
    outputs: int


def with_outputs_of(job: Job, used: Usage | None, *, most: int) -> Usage:
    """The usage with one more job, on the day of that job. Raises QuotaUsedUp."""
    moment = job.created_at.astimezone(UTC)
    day = moment.date().isoformat()
    outputs = used.outputs if used is not None and used.day == day else 0
    if outputs + job.outputs > most:
        left = max(most - outputs, 0)
        raise QuotaUsedUp(
            f"A client may ask for {most} outputs a day (UTC); you have {left} left today, and this job "
            f"makes {job.outputs}.",
            retry_after_s=_seconds_left(moment),
        )
    return Usage(day=day, outputs=outputs + job.outputs)


def _seconds_left(moment: datetime) -> int:
    """Until the next day begins, at least 1."""
    midnight = datetime.combine(moment.date() + timedelta(days=1), time(), UTC)
    return max(int((midnight - moment).total_seconds()), 1)
