"""Rules that hold for the whole API."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from in_process import Workshop

import serve_app.api
from serve_app.api import errors
from serve_app.api.errors import STATUS, ApiError, status_of
from storage import errors as storage_errors
from storage.errors import StorageError

FOLDER = Path(serve_app.api.__file__).parent


def classes(module: ModuleType, root: type[Exception]) -> list[type[Exception]]:
    found = [item for _, item in inspect.getmembers(module, inspect.isclass) if issubclass(item, root)]
    return [item for item in found if item.__module__ == module.__name__]


@pytest.mark.parametrize(
    "kind",
    [*classes(errors, ApiError), *classes(storage_errors, StorageError)],
    ids=lambda kind: kind.__name__,
)
def test_the_table_of_errors_knows_every_class(kind: type[Exception]) -> None:
    assert kind in STATUS or kind is ApiError


def test_the_table_of_errors_knows_no_other_class() -> None:
    assert set(STATUS) <= {*classes(errors, ApiError), *classes(storage_errors, StorageError)}


def test_an_error_without_an_entry_has_its_parents_status() -> None:
    class Odd(storage_errors.DiskFull):
        """Odd."""

    assert status_of(Odd()) is HTTPStatus.INSUFFICIENT_STORAGE
    assert status_of(ZeroDivisionError()) is HTTPStatus.INTERNAL_SERVER_ERROR


def async_routes() -> Iterator[tuple[str, ast.AsyncFunctionDef]]:
    for file in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.AsyncFunctionDef) and any(is_route(each) for each in node.decorator_list):
                yield f"{file.stem}.{node.name}", node


def is_route(decorator: ast.expr) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.value.id == "router"


def test_no_route_occupies_the_loop_without_ever_awaiting() -> None:
    routes = dict(async_routes())
    assert len(routes) > 20
    waiting = (ast.Await, ast.AsyncFor, ast.AsyncWith)
    idle = [name for name, node in routes.items() if not any(isinstance(n, waiting) for n in ast.walk(node))]
    assert idle == []


async def test_an_error_that_nobody_foresaw_is_logged_and_tells_nothing(
    workshop: Workshop, idle: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("secret")

    workshop.stores.jobs.get = fail  # type: ignore[method-assign, assignment]
    reply = await idle.get("/api/status/x")
    assert (reply.status_code, reply.json()["code"]) == (500, "internal_error")
    assert "secret" not in reply.text
    assert "GET /api/status/x" in caplog.text
