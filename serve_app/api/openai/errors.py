"""What is wrong with a parameter, and what becomes of a job that brings nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serve_app.api.errors import ApiError, Conflict, InvalidRequest, JobFailed, NotConfigured, NotFound
from storage.jobs import Job, JobStatus

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
