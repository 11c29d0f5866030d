"""Errors of the API, and the one table that gives every error of the product its HTTP status.

ApiError
  + InvalidRequest     400   the request is wrong: says what, and what would be right
  + NotFound           404
  + Conflict           409
  + Unauthorized       401
  + Forbidden          403
  + TooManyRequests    429   says when to come back
  + ModelServerFailed  502   the language model's server gave no usable answer
  + JobFailed          502   the request became a job, and that failed
  + NotConfigured      503   the person who runs the server has not set this up
  + ModelServerSlow    504   the language model's server did not answer in time
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from serve_app.api.dialects import Problem, dialect_at, path_of
from serve_app.api.headers import SECURITY_HEADERS
from storage import errors as storage_errors

log = logging.getLogger("cyberimage.api")

#: Names longer than this are no slip of the pen.
LONGEST_NAME = 100
#: Seconds after which a client may try again when the queue is full.
RETRY_AFTER_S = 30
#: The same when the database is locked or away.
DATABASE_RETRY_AFTER_S = 5
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
#: What a client is told of an error that nobody foresaw.
UNFORESEEN = "The server met an error that it does not know; its log says more."


class ApiError(Exception):
    """The request cannot be answered."""

    def __init__(self, message: str, *, code: str | None = None, details: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class InvalidRequest(ApiError):
    """The request is wrong."""


class NotFound(ApiError):
    """There is no such thing."""


class Conflict(ApiError):
    """The thing is not in a state for that."""


class Unauthorized(ApiError):
    """An API key is wanted."""


class Forbidden(ApiError):
    """This caller may not do that."""


class TooManyRequests(ApiError):
    """The client must slow down."""

    def __init__(self, message: str = "", *, code: str | None = None, retry_after_s: int = 1) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class ModelServerFailed(ApiError):
    """The language model's server gave no usable answer."""


class JobFailed(ApiError):
    """The request became a job, and that failed."""


class NotConfigured(ApiError):
    """The person who runs the server has not set this up."""


class ModelServerSlow(ApiError):
    """The language model's server did not answer in time."""


STATUS: dict[type[Exception], HTTPStatus] = {
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    Forbidden: HTTPStatus.FORBIDDEN,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    ModelServerFailed: HTTPStatus.BAD_GATEWAY,
    JobFailed: HTTPStatus.BAD_GATEWAY,
    NotConfigured: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelServerSlow: HTTPStatus.GATEWAY_TIMEOUT,
    storage_errors.QueueFull: HTTPStatus.TOO_MANY_REQUESTS,
    storage_errors.ClientQueueFull: HTTPStatus.TOO_MANY_REQUESTS,
    storage_errors.QuotaUsedUp: HTTPStatus.TOO_MANY_REQUESTS,
    storage_errors.IdempotencyConflict: HTTPStatus.CONFLICT,
    storage_errors.KeyOfDeletedJob: HTTPStatus.GONE,
    storage_errors.InvalidCursor: HTTPStatus.BAD_REQUEST,
    storage_errors.TooManyTags: HTTPStatus.BAD_REQUEST,
    storage_errors.UploadRejected: HTTPStatus.BAD_REQUEST,
    storage_errors.UploadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    storage_errors.MediaFileMissing: HTTPStatus.NOT_FOUND,
    storage_errors.MediaUnreadable: HTTPStatus.NOT_FOUND,
    storage_errors.UnsafePath: HTTPStatus.INTERNAL_SERVER_ERROR,
    storage_errors.DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    storage_errors.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    storage_errors.DatabaseDamaged: HTTPStatus.SERVICE_UNAVAILABLE,
    storage_errors.DatabaseUrlUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    storage_errors.SchemaTooNew: HTTPStatus.SERVICE_UNAVAILABLE,
    storage_errors.StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
}


#: What is told apart from others of its status.
CODES: dict[type[Exception], str] = {
    storage_errors.KeyOfDeletedJob: "job_deleted",
    storage_errors.MediaUnreadable: "media_unreadable",
    storage_errors.DatabaseDamaged: "database_damaged",
}


def status_of(error: Exception) -> HTTPStatus:
    """The status of the nearest class in the error's line of descent."""
    return next(
        (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), HTTPStatus.INTERNAL_SERVER_ERROR
    )


def code_of(status: HTTPStatus) -> str:
    """The status's name as an error code. Python 3.13 renamed 413, so that one is fixed here."""
    return "content_too_large" if status == 413 else status.name.lower()


def error_body(message: str, code: str, details: Any = None) -> dict[str, Any]:
    body: dict[str, Any] = {"status": "error", "message": message, "code": code}
    return {**body, "details": details} if details is not None else body


def install(app: FastAPI) -> None:
    """Answer every error in the API's own form."""
    for kind in (ApiError, storage_errors.StorageError):
        app.add_exception_handler(kind, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _known(request: Request, error: Exception) -> JSONResponse:
    return reply_to(error, request.scope)


def reply_to(error: Exception, scope: Scope) -> JSONResponse:
    """The reply to an error of the API or of the storage, in the form of the API that `scope` asks."""
    status = status_of(error)
    code = getattr(error, "code", None) or CODES.get(type(error)) or code_of(status)
    details = getattr(error, "details", None)
    return error_reply(scope, status, str(error), code, details, headers=headers_of(error))


def headers_of(error: Exception) -> dict[str, str]:
    """The headers of the reply to an error: when to come back, and what kind of key is wanted."""
    status, headers = status_of(error), {}
    if isinstance(error, storage_errors.DatabaseUnavailable):
        headers["Retry-After"] = str(DATABASE_RETRY_AFTER_S)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        headers["Retry-After"] = str(getattr(error, "retry_after_s", RETRY_AFTER_S))
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Basic realm="CyberImage", charset="UTF-8"'
    return headers


def error_reply(
    scope: Scope,
    status: int,
    message: str,
    code: str,
    details: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A reply that tells an error in the form of the API that `scope` asks."""
    if (dialect := dialect_at(path_of(scope))) is None:
        return JSONResponse(error_body(message, code, details), status, headers)
    return dialect.tell(
        Problem(status=status, message=message, code=code, details=details, headers=headers or {})
    )


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = code_of(HTTPStatus(error.status_code))
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    message = str(error.detail)
    if message == HTTPStatus.NOT_FOUND.phrase:
        message = f"There is no {request.method} {path_of(request.scope)} here; /docs lists what there is"
    return error_reply(request.scope, error.status_code, message, code, headers=headers)


def _methods(request: Request) -> set[str]:
    """What may be done at this address. Starlette names the methods of one of its routes only."""
    asked = [(method, {**request.scope, "method": method}) for method in METHODS]
    return {
        method
        for method, scope in asked
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)
    }


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    # This reply is sent from outside of every middleware.
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return error_reply(request.scope, status, UNFORESEEN, "internal_error", headers=SECURITY_HEADERS)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    message = validation_message(error.errors(), error.body)
    return error_reply(request.scope, HTTPStatus.BAD_REQUEST, message, "invalid_request")


def validation_message(problems: Iterable[dict[str, Any]], body: Any) -> str:
    """What Pydantic found, as one sentence a person can act on."""
    problems = list(problems)
    if body in (None, {}, b"", "") and problems[0]["loc"][0] == "body":
        return "No data provided"
    missing = [str(p["loc"][-1]) for p in problems if p["type"] == "missing"]
    if missing:
        return f"Missing required fields: {', '.join(missing)}"
    return "; ".join(dict.fromkeys(_sentence(problem) for problem in problems))


def _sentence(problem: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"][1:])
    match problem["type"]:
        case "json_invalid":
            return f"The body is not valid JSON: {problem['ctx']['error']}"
        case "unknown_setting":
            return str(problem["msg"])
        case "value_error":
            return f"{place} {problem['ctx']['error']}" if place else str(problem["ctx"]["error"])
        case "model_attributes_type" | "dict_type" | "model_type" if place:
            return f"{place} must be a JSON object"
        case "model_attributes_type" | "dict_type" | "model_type":
            return "The body must be a JSON object, sent as Content-Type: application/json"
    return f"{place}: {problem['msg']}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """An ending for a sentence about an unknown name: the nearest known one, or all of them."""
    known = sorted(known)
    # The comparison takes half a second for a name of a megabyte.
    nearest = difflib.get_close_matches(name, known, n=1) if len(name) < LONGEST_NAME else []
    return f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
