"""One call to a family that several jobs share; each sees an event stream of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from deployments.contract import Artifact, Event, Failed, GenerationRequest, JobEvent
from serve_app.families import FamilyClient, WorkerDied


@dataclass(kw_only=True, slots=True)
class _Member:
    """A job that has joined. Its queue holds its events, then what ended the stream: None or an error."""

    request: GenerationRequest
    queue: asyncio.Queue[Event | Exception | None] = field(default_factory=asyncio.Queue)
    artifacts: int = 0

    def take(self, event: Event) -> bool:
        """Pass the event on. True if it is the job's last."""
        self.queue.put_nowait(event)
        self.artifacts += isinstance(event, Artifact)
        return isinstance(event, Failed) or self.artifacts == self.request.num_outputs


class SharedCall:
    """Calls `client` once for all of `job_ids`, as soon as each of them has joined or left.

    A job that leaves before its end is cancelled: the call goes on for the others and what it makes for that
    job is dropped. When nobody is left, the call is closed, which ends it at its next step.
    """

    def __init__(self, client: FamilyClient, job_ids: Sequence[str]) -> None:
        self._client = client
        self.size = len(job_ids)
        self._members: dict[str, _Member | None] = dict.fromkeys(job_ids)
        self._abandoned = False
        self._call: asyncio.Task[None] | None = None

    async def events(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """Join, and iterate over the job's events up to its last. Raises what the call raises."""
        member = self._members[request.job_id] = _Member(request=request)
        self._begin_if_complete()
        try:
            while (event := await member.queue.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            await self.leave(request.job_id)

    async def leave(self, job_id: str) -> None:
        """The job takes no further part. Returns, to the last one, when the call has ended."""
        if self._members.pop(job_id, None) is not None:
            self._abandoned = True
        self._begin_if_complete()
        if not self._members and self._call is not None:
            if self._abandoned:
                self._call.cancel()
            await asyncio.wait([self._call])

    def _begin_if_complete(self) -> None:
        members = [member for member in self._members.values() if member is not None]
        if self._call is None and members and len(members) == len(self._members):
            requests = tuple(member.request for member in members)
            self._call = asyncio.create_task(self._run(requests), name=f"call of {len(requests)} jobs")

    async def _run(self, requests: tuple[GenerationRequest, ...]) -> None:
        failure: Exception = WorkerDied("its call ended before the job did")
        try:
            async with aclosing(self._client.generate(requests)) as events:
                async for event in events:
                    self._deliver(event)
        except Exception as error:
            failure = error
        finally:  # A cancellation that nobody here has asked for would leave the jobs waiting for ever, too.
            for member in self._members.values():
                if member is not None:
                    member.queue.put_nowait(failure)

    def _deliver(self, event: JobEvent) -> None:
        member = self._members.get(event.job_id)
        if member is not None and member.take(event.event):
            del self._members[event.job_id]
            member.queue.put_nowait(None)
