"""Replies hold what the API's description says, and nothing that it does not."""

from __future__ import annotations

import httpx
import pytest
from in_process import Workshop
from pydantic import BaseModel

from serve_app.api import replies


@pytest.mark.parametrize(
    ("path", "reply"),
    [
        ("/api/status/{done}", replies.JobReply),
        ("/api/status/{waiting}", replies.JobReply),
        ("/api/jobs", replies.Jobs),
        ("/api/queue", replies.Queue),
        ("/api/queue?detailed=true", replies.Queue),
        ("/api/models", replies.Models),
        ("/api/gallery", replies.Gallery),
        ("/health", replies.Health),
    ],
)
async def test_every_field_is_described(
    client: httpx.AsyncClient, workshop: Workshop, path: str, reply: type[BaseModel]
) -> None:
    done = workshop.add()
    await workshop.ended(done)
    workshop.gate.close()
    running, waiting = workshop.add(), workshop.add()
    await workshop.reached()
    body = (await client.get(path.format(done=done, running=running, waiting=waiting))).json()
    reply.model_validate(body, extra="forbid")
