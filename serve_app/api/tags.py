"""Routes about the tags of pictures and clips."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from serve_app.api import replies
from serve_app.api.callers import CalledBy
from serve_app.api.errors import NotFound
from serve_app.api.media import find
from serve_app.api.schemas import Name, TagChanges, Tags
from serve_app.api.services import Injected
from storage.media import MediaId
from storage.tags import in_order

router = APIRouter(tags=["Media"])


@router.get("/api/tags", responses={200: {"model": replies.TagsInUse}})
async def tags_in_use(
    services: Injected, caller: CalledBy, limit: Annotated[int, Query(ge=1, le=1000)] = 1000
) -> dict[str, Any]:
    """The tags of the pictures and clips in the gallery, the most used first."""
    uses = await services.blocking(services.media.tags, client=caller.scope)
    return {"tags": [{"name": use.tag, "count": use.count} for use in uses[:limit]]}


@router.get("/api/media/{media_id}/tags", responses={200: {"model": replies.TagsOf}})
async def tags_of(media_id: Name, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """The tags of a picture or clip."""
    media = await find(services, caller, media_id)
    return {"id": media.id, "tags": media.tags}


@router.put("/api/media/{media_id}/tags", responses={200: {"model": replies.Tagged}})
async def set_tags(media_id: Name, body: Tags, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Give a picture or clip these tags in place of those that it has."""
    tags = in_order(body.tags)
    if not await services.blocking(services.media.set_tags, MediaId(media_id), tags, client=caller.scope):
        raise NotFound(f"Media not found: {media_id}")
    return {"status": "success", "id": media_id, "tags": tags}


@router.post("/api/batch_tag", responses={200: {"model": replies.BatchTagged}})
async def batch_tag(body: TagChanges, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Add tags to pictures and clips, and remove others. What is not there (any more) is passed over."""
    ids = [MediaId(media_id) for media_id in dict.fromkeys(body.ids)]
    tagged = await services.blocking(
        services.media.change_tags, ids, add=body.add, remove=body.remove, client=caller.scope
    )
    return {"status": "success", "tagged": tagged, "message": f"Tagged {tagged} file(s)"}
