"""Places in the queue, in SQL; each function is part of the caller's transaction."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from storage import positions
from storage.jobs import JobId, JobStatus
from storage.schema import jobs as table
from storage.schema import state

_LAST_POSITION = select(func.max(table.c.position)).where(table.c.priority == bindparam("of_priority"))
_PENDING_PLACE = (
    select(table.c.priority, table.c.position)
    .where(table.c.id == bindparam("job_id"), table.c.status == JobStatus.PENDING.value)
    .with_for_update()
)
_ROW_TO_LOCK = select(state.c.value).where(state.c.key == "paused").with_for_update()


class Place(NamedTuple):
    priority: int
    position: float


def lock_queue(connection: Connection) -> None:
    """Make the transactions that give out places take turns. SQLite's writers do so anyway."""
    connection.execute(_ROW_TO_LOCK)


def last_position(connection: Connection, priority: int) -> float | None:
    """The highest place, of jobs of every status: a released job must find its own free."""
    last: float | None = connection.scalar(_LAST_POSITION, {"of_priority": priority})
    return last


def pending_place(connection: Connection, job_id: JobId) -> Place | None:
    """Where a pending job is; nothing claims it before the transaction ends. None if it is not pending."""
    row = connection.execute(_PENDING_PLACE, {"job_id": job_id}).one_or_none()
    return None if row is None else Place(*row)


def position_before(connection: Connection, job_id: JobId) -> float:
    """A free place just before a pending job."""
    target = pending_place(connection, job_id)
    assert target is not None
    earlier = _LAST_POSITION.where(table.c.position < target.position)
    low: float | None = connection.scalar(earlier, {"of_priority": target.priority})
    position = positions.between(low, target.position)
    if position is not None:
        return position
    _renumber(connection, target.priority)
    return position_before(connection, job_id)


def _renumber(connection: Connection, priority: int) -> None:
    """Give the unfinished jobs of a priority new places, a whole number apart, behind all others."""
    unfinished = table.c.status.in_((JobStatus.PENDING.value, JobStatus.PROCESSING.value))
    query = select(table.c.id).where(table.c.priority == priority, unfinished).order_by(table.c.position)
    start = positions.after(last_position(connection, priority))
    moves = [
        {"job_id": job_id, "place": start + index}
        for index, job_id in enumerate(connection.scalars(query).all())
    ]
    change = update(table).where(table.c.id == bindparam("job_id")).values(position=bindparam("place"))
    connection.execute(change, moves)
