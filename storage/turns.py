"""Whose turn it is: clients alternate within a priority, however many jobs each has waiting.

A job joins the line at the end of a turn: in the turn that the line has come to, or in the one after its
client's last job. So every turn has one job of each client that has that many waiting.
"""

from __future__ import annotations


def current(first_waiting: int | None, last_running: int | None) -> int:
    """The turn that the line of a priority has come to: its first waiting job's, else its latest running."""
    if first_waiting is not None:
        return first_waiting
    return 0 if last_running is None else last_running


def turn_of(current: int, last_of_client: int | None) -> int:
    """The turn of a client's new job. `last_of_client` is the highest of its waiting and running jobs."""
    return current if last_of_client is None else max(current, last_of_client + 1)
