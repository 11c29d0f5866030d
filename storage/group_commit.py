"""One transaction for many threads: most of a small transaction is the wait for the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from storage.errors import StorageError

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """While one group of items is written, the next gathers; then one of its threads writes it for all.

    `write` takes items, commits them in one transaction, and returns their results in order.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._write = write
        self._gathering = Lock()
        self._writing = Lock()
        self._entries: list[tuple[Item, Future[Result]]] = []

    def submit(self, item: Item) -> Result:
        """Write the item; returns when it is committed. Raises what `write` raises for it alone."""
        outcome: Future[Result] = Future()
        with self._gathering:
            self._entries.append((item, outcome))
        with self._writing:
            if not outcome.done():
                self._write_group(self._take())
        return outcome.result()

    def _take(self) -> list[tuple[Item, Future[Result]]]:
        with self._gathering:
            group, self._entries = self._entries, []
        return group

    def _write_group(self, group: list[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self._write([item for item, _ in group])
        except BaseException as error:
            if len(group) > 1 and isinstance(error, Exception) and not isinstance(error, StorageError):
                self._write_each(group)
            else:
                _fail(group, error)
        else:
            for (_, outcome), result in zip(group, results, strict=True):
                outcome.set_result(result)

    def _write_each(self, group: list[tuple[Item, Future[Result]]]) -> None:
        # One item that cannot be written must not fail the others. Circumstances, such as a locked database,
        # are the same for each, and would be waited for by each.
        for entry in group:
            self._write_group([entry])


def _fail(group: list[tuple[Item, Future[Result]]], error: BaseException) -> None:
    for _, outcome in group:
        outcome.set_exception(error)
