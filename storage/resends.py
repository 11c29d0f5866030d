"""Which of several equal requests is the one that comes again."""

from __future__ import annotations

from collections.abc import Iterable

from storage.jobs import Job, Resend

#: Equal requests that are looked at, newest first.
MOST = 100


def sent_before(newest_first: Iterable[Job], resend: Resend) -> Job | None:
    """The newest that was not sent again as often yet, else the newest; None of none."""
    found = list(newest_first)
    return next((job for job in found if job.resent < resend.count), found[0] if found else None)
