"""From a validated request to a job on disk, whatever API it came by."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from configs.models import ModelSpec
from configs.settings import Settings
from deployments.weights import status
from serve_app.api.callers import Caller
from serve_app.api.errors import Conflict, InvalidRequest, NotFound
from serve_app.api.schemas import ImageSettings, VideoSettings
from serve_app.api.services import Services
from serve_app.api.validation import check_prompt, choose_model, choose_negative_prompt, complete_settings
from serve_app.webhooks import AddressRefused, check_address
from storage.jobs import NO_QUOTA, Job, JobId, Quota, Resend
from storage.media import MediaId


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What makes a submit that comes again the same: its key, and a digest of what it asked for.

    Without a key, its client says that it comes again: then `resend` says how often.
    """

    key: str | None
    request_hash: str
    resend: Resend | None = None

    def of_part(self, number: int) -> Idempotency:
        """For one of the jobs that a request becomes; no client can send such a key."""
        if number == 0:
            return self
        key = self.key and f"{self.key}\n{number}"
        return replace(self, key=key, request_hash=f"{self.request_hash}:{number}")


def idempotency(key: str | None, path: str, body: BaseModel | None = None) -> Idempotency | None:
    """None without a key."""
    if not key:
        return None
    text = json.dumps([path, body and body.model_dump(mode="json")], sort_keys=True)
    return Idempotency(key, hashlib.sha256(text.encode()).hexdigest())


def new_job(
    services: Services,
    spec: ModelSpec,
    prompt: str,
    negative_prompt: str,
    settings: dict[str, Any],
    *,
    priority: int = 0,
    webhook_url: str | None = None,
) -> Job:
    """A job of complete settings. Raises InvalidRequest for a webhook's address that is not allowed."""
    if webhook_url is not None:
        _check_webhook(services, webhook_url)
    return Job(
        id=JobId(str(uuid.uuid4())),
        type=spec.type,
        model=spec.name,
        prompt=prompt,
        negative_prompt=negative_prompt,
        settings=settings,
        seed=settings["seed"],
        created_at=services.clock(),
        priority=priority,
        webhook_url=webhook_url,
    )


def checked_job(
    services: Services,
    spec: ModelSpec,
    prompt: str,
    negative_prompt: str | None,
    settings: ImageSettings | VideoSettings,
    *,
    source_image_id: str | None = None,
    priority: int = 0,
    webhook_url: str | None = None,
) -> Job:
    """The job of a request, held against its model. `check_source` has found the source picture.

    Raises InvalidRequest.
    """
    check_prompt(spec, prompt)
    negative = choose_negative_prompt(spec, negative_prompt, settings.negative_prompt)
    complete = complete_settings(spec, settings)
    if source_image_id is not None:
        complete["source_image_id"] = source_image_id
    return new_job(services, spec, prompt, negative, complete, priority=priority, webhook_url=webhook_url)


async def submit(services: Services, caller: Caller, job: Job, once: Idempotency | None = None) -> Job:
    """Put the job on disk and wake the dispatcher; with a key that is known, the job it made comes back.

    Raises InvalidRequest for a model that may not be fetched, and the storage's errors for a full queue,
    a used-up quota and a key of another request; Forbidden for a priority that is not the caller's to give.
    """
    if job.priority > 0:
        caller.must_be_admin("A priority above 0 goes ahead of every client's jobs")
    await _check_available(services, services.registry[job.model])
    settings = services.settings
    added = await services.blocking(
        services.jobs.add,
        _signed(job, caller, once),
        max_pending=settings.max_pending,
        quota=_quota(settings, caller),
        resend=None if once is None else once.resend,
    )
    services.dispatcher.wake(added.id, added.status)
    return added


async def submit_all(
    services: Services, caller: Caller, jobs: Sequence[Job], once: Idempotency | None
) -> tuple[Job, ...]:
    """`submit` the jobs of one request, of one model: all of them or none."""
    await _check_available(services, services.registry[jobs[0].model])
    settings = services.settings
    added = await services.blocking(
        services.jobs.add_all,
        [
            _signed(job, caller, None if once is None else once.of_part(number))
            for number, job in enumerate(jobs)
        ],
        max_pending=settings.max_pending,
        quota=_quota(settings, caller),
        resend=None if once is None else once.resend,
    )
    for job in added:
        services.dispatcher.wake(job.id, job.status)
    return added


def _signed(job: Job, caller: Caller, once: Idempotency | None) -> Job:
    """The job with whose it is, and what it is known by when it comes again."""
    job = replace(job, client=caller.client)
    return job if once is None else replace(job, idempotency_key=once.key, request_hash=once.request_hash)


async def resubmit(services: Services, caller: Caller, job: Job, once: Idempotency | None) -> Job:
    """A new job with the settings and the seed of an ended one; its priority, too, if that may be given."""
    spec = choose_model(services.registry, job.model, job.type)
    if (source_id := job.settings.get("source_image_id")) is not None:
        await check_source(services, caller, source_id)
    again = new_job(
        services,
        spec,
        job.prompt,
        job.negative_prompt,
        dict(job.settings),
        priority=job.priority if caller.admin else min(job.priority, 0),
        webhook_url=job.webhook_url,
    )
    return await submit(services, caller, again, once)


async def check_source(services: Services, caller: Caller, source_id: str) -> None:
    """Raises NotFound for a picture that the caller may not see, Conflict for a clip."""
    media = await services.blocking(services.media.get, MediaId(source_id), client=caller.scope)
    if media is None:
        raise NotFound(f"Source image not found: {source_id}")
    if media.media_type == "video":
        raise Conflict(f"{source_id} is a video; the source must be a picture", code="source_is_video")


async def _check_available(services: Services, spec: ModelSpec) -> None:
    """A model that must not be downloaded can be used if its files are here."""
    if spec.download_enabled:
        return
    found = await services.blocking(status, spec, services.downloads)
    if not found.present:
        raise InvalidRequest(
            f"Model {spec.name} is not here, and its download is turned off "
            "(download_enabled, or DOWNLOAD_MODEL_<N>)"
        )


def _check_webhook(services: Services, url: str) -> None:
    try:
        check_address(url, services.settings.webhook_hosts)
    except AddressRefused as error:
        raise InvalidRequest(str(error), code="webhook_refused") from error


def _quota(settings: Settings, caller: Caller) -> Quota:
    keys = settings.api_keys or settings.admin_keys
    if keys and caller.admin:
        return NO_QUOTA
    return Quota(waiting=settings.max_pending_per_client, outputs_per_day=settings.max_outputs_per_day)
