"""Errors of the API, and the one table that gives every error of the product its HTTP status.

ApiError
  + InvalidRequest     400   the request is wrong: says what, and what would be right
  + NotFound           404
  + Conflict           409
  + Unauthorized       401
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from storage import errors as storage_errors

log = logging.getLogger("cyberimage.api")

#: Seconds after which a client may try again when the queue is full.
RETRY_AFTER_S = 30


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


STATUS: dict[type[Exception], HTTPStatus] = {
    InvalidRequest: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    Unauthorized: HTTPStatus.UNAUTHORIZED,
    storage_errors.QueueFull: HTTPStatus.TOO_MANY_REQUESTS,
    storage_errors.IdempotencyConflict: HTTPStatus.CONFLICT,
    storage_errors.InvalidCursor: HTTPStatus.BAD_REQUEST,
    storage_errors.UploadRejected: HTTPStatus.BAD_REQUEST,
    storage_errors.UploadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    storage_errors.MediaFileMissing: HTTPStatus.NOT_FOUND,
    storage_errors.MediaUnreadable: HTTPStatus.INTERNAL_SERVER_ERROR,
    storage_errors.UnsafePath: HTTPStatus.INTERNAL_SERVER_ERROR,
    storage_errors.DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    storage_errors.DatabaseUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    storage_errors.DatabaseUrlUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    storage_errors.SchemaTooNew: HTTPStatus.SERVICE_UNAVAILABLE,
    storage_errors.StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
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
    status = status_of(error)
    code = getattr(error, "code", None) or code_of(status)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.TOO_MANY_REQUESTS else {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Basic realm="CyberImage"'
    return JSONResponse(error_body(str(error), code, getattr(error, "details", None)), status, headers)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = code_of(HTTPStatus(error.status_code))
    return JSONResponse(error_body(str(error.detail), code), error.status_code, error.headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s", request.method, request.url.path, exc_info=error)
    message = "The server met an error that it does not know; its log says more."
    return JSONResponse(error_body(message, "internal_error"), HTTPStatus.INTERNAL_SERVER_ERROR)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    message = validation_message(error.errors(), error.body)
    return JSONResponse(error_body(message, "invalid_request"), HTTPStatus.BAD_REQUEST)


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
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
