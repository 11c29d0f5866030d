"""Errors in OpenAI's form, and what becomes of a job that brings nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from serve_app.api.errors import ApiError, Conflict, InvalidRequest, JobFailed, NotConfigured, NotFound
from storage.jobs import Job, JobStatus

#: Codes that this API has other names for.
CODES = {
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "too_many_requests": "rate_limit_exceeded",
}
#: Codes of failed jobs that a smaller or another request may avoid.
OF_THE_REQUEST = frozenset({"out_of_memory", "source_image_unreadable"})
#: Codes of failed jobs that want the person who runs the server.
OF_THE_SERVER = frozenset(
    {
        "model_unavailable",
        "licence_required",
        "revision_not_found",
        "download_failed",
        "not_enough_disk",
        "broken_weights",
    }
)


def error_body(message: str, status: int, code: str, param: str | None = None) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`."""
    error = {"message": message, "type": _type(status), "param": param, "code": CODES.get(code, code)}
    return {"error": error}


def _type(status: int) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"


def invalid(message: str, param: str, *, code: str | None = None) -> InvalidRequest:
    """A refusal that names the parameter."""
    return InvalidRequest(message, code=code, details={"param": param})


#: What the native API's settings are called here, where that differs.
PARAMS = {
    "width": "size",
    "height": "size",
    "Prompt": "prompt",
    "Negative": "negative_prompt",
}


@contextmanager
def naming_parameters() -> Iterator[None]:
    """Refusals of the native API's checks say which parameter they are about: their first word, or a size."""
    try:
        yield
    except InvalidRequest as error:
        if error.details is None:
            word = str(error).partition(" ")[0]
            param = "size" if word[:1].isdigit() else PARAMS.get(word, word)
            error.details = {"param": param}
        raise


def end_of(job: Job) -> ApiError:
    """Why an ended job has brought nothing. Sending the request again would not help: `final`."""
    assert job.status in (JobStatus.FAILED, JobStatus.CANCELLED)
    code, message = reason_of(job)
    details = {"final": True}
    if job.status is JobStatus.CANCELLED:
        return Conflict(message, code=code, details=details)
    if code in OF_THE_REQUEST:
        return InvalidRequest(message, code=code, details=details)
    kind = NotConfigured if code in OF_THE_SERVER else JobFailed
    return kind(message, code=code, details=details)


def reason_of(job: Job) -> tuple[str, str]:
    """Code and sentence of a job that has failed or was cancelled."""
    if job.status is JobStatus.CANCELLED:
        return "cancelled", "The job was cancelled"
    if job.error is None:
        return "failed", "The job failed"
    hint = f" {job.error.hint}" if job.error.hint else ""
    return job.error.code, f"{job.error.message}{hint}"


def gone(job_id: str) -> NotFound:
    """The job was deleted while someone waited for it."""
    return NotFound(f"The job was deleted: {job_id}", code="job_deleted")
