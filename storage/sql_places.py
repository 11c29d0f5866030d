"""Places in the queue, in SQL; each function is part of the caller's transaction."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select, update

from storage import positions, turns
from storage.jobs import Job, JobId, JobStatus
from storage.schema import jobs as table
from storage.schema import state

_OF_PRIORITY = table.c.priority == bindparam("of_priority")
_IS_PENDING = table.c.status == JobStatus.PENDING.value
_IS_PROCESSING = table.c.status == JobStatus.PROCESSING.value
_OF_CLIENT = table.c.client == bindparam("of_client")
_LAST_TURN = select(func.max(table.c.turn)).where(_OF_PRIORITY)

_TURNS = select(
    select(func.min(table.c.turn)).where(_IS_PENDING, _OF_PRIORITY).scalar_subquery(),
    _LAST_TURN.where(_IS_PROCESSING).scalar_subquery(),
    _LAST_TURN.where(_IS_PENDING, _OF_CLIENT).scalar_subquery(),
    _LAST_TURN.where(_IS_PROCESSING, _OF_CLIENT).scalar_subquery(),
)
_LAST_POSITION = select(func.max(table.c.position)).where(_OF_PRIORITY, table.c.turn == bindparam("of_turn"))
_PENDING_PLACE = (
    select(table.c.priority, table.c.turn, table.c.position)
    .where(table.c.id == bindparam("job_id"), _IS_PENDING)
    .with_for_update()
)
_ROW_TO_LOCK = select(state.c.value).where(state.c.key == "paused").with_for_update()


class Place(NamedTuple):
    priority: int
    turn: int
    position: float


def lock_queue(connection: Connection) -> None:
    """Make the transactions that give out places take turns. SQLite's writers do so anyway."""
    connection.execute(_ROW_TO_LOCK)


def new_place(connection: Connection, job: Job) -> Place:
    """Where a new job joins the line: at the end of its client's next turn."""
    scope = {"of_priority": job.priority, "of_client": job.client or ""}
    waiting, running, *own = connection.execute(_TURNS, scope).one()
    last = max((turn for turn in own if turn is not None), default=None)
    turn = turns.turn_of(turns.current(waiting, running), last)
    return _end_of_turn(connection, job.priority, turn)


def last_place(connection: Connection, priority: int) -> Place:
    """The place behind all pending jobs of a priority."""
    last: int | None = connection.scalar(_LAST_TURN.where(_IS_PENDING), {"of_priority": priority})
    return _end_of_turn(connection, priority, last or 0)


def pending_place(connection: Connection, job_id: JobId) -> Place | None:
    """Where a pending job is; nothing claims it before the transaction ends. None if it is not pending."""
    row = connection.execute(_PENDING_PLACE, {"job_id": job_id}).one_or_none()
    return None if row is None else Place(*row)


def place_before(connection: Connection, job_id: JobId) -> Place:
    """A free place just before a pending job."""
    target = pending_place(connection, job_id)
    assert target is not None
    earlier = _LAST_POSITION.where(table.c.position < target.position)
    low: float | None = connection.scalar(earlier, _scope(target))
    position = positions.between(low, target.position)
    if position is not None:
        return target._replace(position=position)
    _renumber(connection, target)
    return place_before(connection, job_id)


def _end_of_turn(connection: Connection, priority: int, turn: int) -> Place:
    """Looks at jobs of every status: a released job must find its own place free."""
    place = Place(priority, turn, 0.0)
    last: float | None = connection.scalar(_LAST_POSITION, _scope(place))
    return place._replace(position=positions.after(last))


def _scope(place: Place) -> dict[str, int]:
    return {"of_priority": place.priority, "of_turn": place.turn}


def _renumber(connection: Connection, target: Place) -> None:
    """Give the unfinished jobs of a turn new places, a whole number apart, behind all others of it."""
    unfinished = table.c.status.in_((JobStatus.PENDING.value, JobStatus.PROCESSING.value))
    of_turn = (table.c.priority == target.priority, table.c.turn == target.turn)
    query = select(table.c.id).where(*of_turn, unfinished).order_by(table.c.position)
    start = _end_of_turn(connection, target.priority, target.turn).position
    moves = [
        {"job_id": job_id, "place": start + index}
        for index, job_id in enumerate(connection.scalars(query).all())
    ]
    change = update(table).where(table.c.id == bindparam("job_id")).values(position=bindparam("place"))
    connection.execute(change, moves)
