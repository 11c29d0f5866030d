"""How errors are told by APIs whose clients expect another form than the native one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from starlette.types import Scope

#: JSON-RPC's range for errors of the server's own; everything that is not about the request's form.
RPC_SERVER_ERROR = -32000


class AutomaticError(BaseModel):
    """An error in AUTOMATIC1111's form: programs read `detail`, or `error` with `errors`."""

    error: str
    detail: str
    body: str
    errors: str


class RpcProblem(BaseModel):
    code: int
    message: str


class RpcError(BaseModel):
    """An error in JSON-RPC's form."""

    jsonrpc: Literal["2.0"]
    error: RpcProblem
    id: str | int | float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """The form of errors below one path."""

    path: str
    #: From a message and a code.
    body: Callable[[str, str], dict[str, Any]]
    #: What describes the body.
    reply: type[BaseModel]
    #: Statuses that have another number there.
    statuses: Mapping[int, int] = field(default_factory=dict)

    def status(self, status: int) -> int:
        return self.statuses.get(status, status)


def automatic_error(message: str, code: str) -> dict[str, Any]:
    return {"error": code, "detail": message, "body": "", "errors": message}


def rpc_error(message: str, code: int, request_id: object = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": request_id}


DIALECTS = (
    # AUTOMATIC1111 is a FastAPI application, which answers 422 to a bad request.
    Dialect(path="/sdapi/", body=automatic_error, reply=AutomaticError, statuses={400: 422}),
    Dialect(path="/api/mcp", body=lambda message, code: rpc_error(message, RPC_SERVER_ERROR), reply=RpcError),
)


def dialect_at(path: str) -> Dialect | None:
    """The dialect of a path of the API; None for the native form."""
    return next((dialect for dialect in DIALECTS if path.startswith(dialect.path)), None)


def dialect_of(scope: Scope) -> Dialect | None:
    """The dialect of a request."""
    return dialect_at(scope["path"].removeprefix(scope.get("root_path", "")))
