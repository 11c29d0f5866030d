"""How errors are told by APIs whose clients expect another form than the native one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.types import Scope

#: JSON-RPC's range for errors of the server's own; everything that is not about the request's form.
RPC_SERVER_ERROR = -32000
#: Codes that OpenAI's API has other names for.
OPENAI_CODES = {
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "too_many_requests": "rate_limit_exceeded",
}
OpenAIErrorType = Literal["invalid_request_error", "rate_limit_error", "server_error"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What went wrong with a request, in the native API's terms."""

    status: int
    message: str
    code: str
    details: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """The form of errors at one path and below it."""

    path: str
    tell: Callable[[Problem], JSONResponse]
    #: What describes the body.
    reply: type[BaseModel]

    def covers(self, path: str) -> bool:
        return path == self.path or path.startswith(f"{self.path}/")


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


class OpenAIProblem(BaseModel):
    message: str = Field(description="What is wrong and what would be right, for people.")
    type: OpenAIErrorType
    param: str | None
    code: str


class OpenAIError(BaseModel):
    """An error in OpenAI's form."""

    error: OpenAIProblem


def rpc_error(message: str, code: int, request_id: object = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": request_id}


def openai_error(problem: Problem) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`; `param` is what the details name so."""
    error = {
        "message": problem.message,
        "type": _openai_type(problem.status),
        "param": (problem.details or {}).get("param"),
        "code": OPENAI_CODES.get(problem.code, problem.code),
    }
    return {"error": error}


def _openai_type(status: int) -> OpenAIErrorType:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"


def _tell_openai(problem: Problem) -> JSONResponse:
    headers = dict(problem.headers)
    # The SDKs send a request again after every 409 and 5xx, unless they are told not to.
    if (problem.details or {}).get("final", problem.status == HTTPStatus.CONFLICT):
        headers["x-should-retry"] = "false"
    return JSONResponse(openai_error(problem), problem.status, headers)


def _tell_automatic(problem: Problem) -> JSONResponse:
    """AUTOMATIC1111 is a FastAPI application, which answers 422 to a bad request."""
    bad = problem.status == HTTPStatus.BAD_REQUEST
    body = {"error": problem.code, "detail": problem.message, "body": "", "errors": problem.message}
    return JSONResponse(body, 422 if bad else problem.status, problem.headers)


def _tell_rpc(problem: Problem) -> JSONResponse:
    return JSONResponse(rpc_error(problem.message, RPC_SERVER_ERROR), problem.status, problem.headers)


DIALECTS = (
    Dialect(path="/v1", tell=_tell_openai, reply=OpenAIError),
    Dialect(path="/sdapi", tell=_tell_automatic, reply=AutomaticError),
    Dialect(path="/api/mcp", tell=_tell_rpc, reply=RpcError),
)


def dialect_at(path: str) -> Dialect | None:
    """The dialect of a path of the API; None for the native form."""
    return next((dialect for dialect in DIALECTS if dialect.covers(path)), None)


def path_of(scope: Scope) -> str:
    """The path of a request without what the server is mounted under."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
