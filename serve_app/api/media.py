"""Routes about pictures and clips: fetch, upload, gallery, favourites, zip, delete."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Query, Request, UploadFile
from fastapi.responses import FileResponse, Response, StreamingResponse
from zipstream import ZipStream

from serve_app.api import replies
from serve_app.api.callers import CalledBy, Caller
from serve_app.api.errors import InvalidRequest, NotFound
from serve_app.api.schemas import MediaIds, Moment, Name, Search, TagName, Text
from serve_app.api.services import Injected, Services
from serve_app.api.views import gallery_view, media_url
from storage.media import Media, MediaId, MediaQuery
from storage.tags import MOST_TAGS
from storage.uploads import normalise_upload

router = APIRouter(tags=["Media"])

#: A medium never changes under its id.
IMMUTABLE = "private, max-age=31536000, immutable"

Kind = Literal["image", "video"]
Responses = dict[int | str, dict[str, Any]]


def _file_of(*kinds: str, status: int = 200) -> Responses:
    """The description of a reply that is a file."""
    return {status: {"description": "The file", "content": {kind: {} for kind in kinds}}}


NOT_MODIFIED: Responses = {304: {"description": "The client has it"}}
PICTURE = _file_of("image/png") | _file_of("image/png", "multipart/byteranges", status=206) | NOT_MODIFIED
CLIP = _file_of("video/mp4") | _file_of("video/mp4", "multipart/byteranges", status=206) | NOT_MODIFIED
THUMBNAIL = _file_of("image/webp") | _file_of("image/webp", "multipart/byteranges", status=206) | NOT_MODIFIED
ZIP = _file_of("application/zip")


@router.get("/api/image/{media_id}", response_class=FileResponse, responses=PICTURE)
@router.get("/api/get_image/{media_id}", response_class=FileResponse, responses=PICTURE)
async def image(media_id: Name, request: Request, services: Injected, caller: CalledBy) -> Response:
    """A picture."""
    return await send_file(request, services, await find(services, caller, media_id, "image"))


@router.get("/api/video/{media_id}", response_class=FileResponse, responses=CLIP)
@router.get("/api/get_video/{media_id}", response_class=FileResponse, responses=CLIP)
async def video(media_id: Name, request: Request, services: Injected, caller: CalledBy) -> Response:
    """A clip, with Range."""
    return await send_file(request, services, await find(services, caller, media_id, "video"))


@router.get("/api/image/{media_id}/thumbnail", response_class=FileResponse, responses=THUMBNAIL)
@router.get("/api/video/{media_id}/thumbnail", response_class=FileResponse, responses=THUMBNAIL)
async def thumbnail(media_id: Name, request: Request, services: Injected, caller: CalledBy) -> Response:
    """A small picture; of a clip, its first frame."""
    return await send_thumbnail(request, services, await find(services, caller, media_id))


@router.get("/api/image/{media_id}/metadata")
async def metadata(media_id: Name, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """How it was made."""
    return (await find(services, caller, media_id)).metadata


@router.delete("/api/image/{media_id}", responses={200: {"model": replies.Done}})
async def delete(media_id: Name, services: Injected, caller: CalledBy) -> dict[str, str]:
    """Delete a picture or a clip."""
    media = await services.blocking(services.media.delete, MediaId(media_id), client=caller.scope)
    if media is None:
        raise NotFound(f"Media not found: {media_id}")
    await services.blocking(services.files.delete, media.file_path)
    return {"status": "success", "message": f"{media.media_type.capitalize()} deleted successfully"}


@router.post("/api/upload", status_code=201, responses={201: {"model": replies.Uploaded}})
async def upload(
    request: Request, services: Injected, caller: CalledBy, file: Annotated[UploadFile, File()]
) -> dict[str, Any]:
    """A source picture for image to video: PNG, JPEG or WebP."""
    data = await file.read()
    async with services.decoding:
        media = await services.blocking(store_upload, services, data, caller.client)
    root = request.scope.get("root_path", "")
    return {"id": media.id, "width": media.width, "height": media.height, "url": media_url(media, root)}


def store_upload(services: Services, data: bytes, client: str | None, *, source: str = "upload") -> Media:
    """Keep a picture that a client sent; `source` says in its metadata how.

    Raises UploadRejected, UploadTooLarge, DiskFull.
    """
    settings = services.settings
    max_bytes = int(settings.max_upload_mb * 1e6)
    picture = normalise_upload(data, max_bytes=max_bytes, max_pixels=settings.max_upload_pixels)
    media_id, now = MediaId(str(uuid.uuid4())), services.clock()
    media = Media(
        id=media_id,
        job_id=None,
        media_type="image",
        file_path=services.files.write(media_id, "image", picture.data, now),
        created_at=now,
        width=picture.width,
        height=picture.height,
        metadata={"type": "image", "source": source},
    )
    services.media.add(media, client=client)
    return media


async def _matching(
    caller: CalledBy,
    tag: Annotated[
        list[TagName],
        Query(default_factory=list, max_length=MOST_TAGS, description="May be repeated: with all of them."),
    ],
    search: Search = "",
    model: Text | None = None,
    type: Kind | None = None,
    favorite: bool | None = None,
    since: Annotated[Moment | None, Query(description="Made then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Made earlier.")] = None,
) -> MediaQuery:
    return MediaQuery(
        words=tuple(search.split()),
        model=model or None,
        media_type=type,
        favorite=favorite,
        tags=tuple(tag),
        since=since,
        until=until,
        client=caller.scope,
    )


Matching = Annotated[MediaQuery, Depends(_matching)]


@router.get("/api/gallery", responses={200: {"model": replies.Gallery}})
async def gallery(
    request: Request,
    services: Injected,
    query: Matching,
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    limit: Annotated[int, Query(ge=1)] = 20,
    cursor: Text | None = None,
) -> dict[str, Any]:
    """Pictures and clips, newest first. More than 50 at once are not given; `cursor` beats `page`."""
    limit = min(limit, 50)
    offset = 0 if cursor else (page - 1) * limit
    found = await services.blocking(
        services.media.page, query, limit=limit, cursor=cursor or None, offset=offset
    )
    root = request.scope.get("root_path", "")
    return {
        "images": [gallery_view(media, root) for media in found.media],
        "page": page,
        "limit": limit,
        "has_more": found.next_cursor is not None,
        "total": found.total,
        "next_cursor": found.next_cursor,
    }


@router.get("/api/gallery/ids", responses={200: {"model": replies.GalleryIds}})
async def gallery_ids(services: Injected, query: Matching) -> dict[str, Any]:
    """The ids of all that the gallery would show, newest first."""
    return {"ids": await services.blocking(services.media.ids, query)}


@router.post("/api/favorite/{media_id}", responses={200: {"model": replies.Favorite}})
async def add_favorite(media_id: Name, services: Injected, caller: CalledBy) -> dict[str, Any]:
    return await _set_favorite(services, caller, media_id, True)


@router.delete("/api/favorite/{media_id}", responses={200: {"model": replies.Favorite}})
async def remove_favorite(media_id: Name, services: Injected, caller: CalledBy) -> dict[str, Any]:
    return await _set_favorite(services, caller, media_id, False)


async def _set_favorite(services: Services, caller: Caller, media_id: str, favorite: bool) -> dict[str, Any]:
    found = await services.blocking(
        services.media.set_favorite, MediaId(media_id), favorite, client=caller.scope
    )
    if not found:
        raise NotFound(f"Media not found: {media_id}")
    return {"status": "success", "id": media_id, "favorite": favorite}


@router.post("/api/batch_delete", responses={200: {"model": replies.Deleted}})
async def batch_delete(body: MediaIds, services: Injected, caller: CalledBy) -> dict[str, Any]:
    """Delete pictures and clips. Those that are not there (any more) are passed over."""
    ids = [MediaId(media_id) for media_id in dict.fromkeys(body.ids)]
    media = await services.blocking(services.media.delete_all, ids, client=caller.scope)
    await services.blocking(_delete_files, services, media)
    return {"status": "success", "deleted": len(media), "message": f"Deleted {len(media)} file(s)"}


def _delete_files(services: Services, media: Iterable[Media]) -> None:
    for each in media:
        services.files.delete(each.file_path)


@router.post("/api/batch_download", response_class=StreamingResponse, responses=ZIP)
async def batch_download(body: MediaIds, services: Injected, caller: CalledBy) -> Response:
    """A zip of pictures and clips, streamed."""
    media = [await find(services, caller, media_id) for media_id in dict.fromkeys(body.ids)]
    paths = await services.blocking(lambda: [services.files.whole(item.file_path) for item in media])
    headers = {"Content-Disposition": 'attachment; filename="cyberimage.zip"'}
    return StreamingResponse(_zip(paths), media_type="application/zip", headers=headers)


def _zip(paths: list[Path]) -> Iterator[bytes]:
    archive = ZipStream(sized=False)
    for path in paths:
        archive.add_path(path, arcname=path.name)
    yield from archive


async def find(services: Services, caller: Caller, media_id: str, kind: Kind | None = None) -> Media:
    """The medium, if the caller may see it. Raises NotFound, and InvalidRequest for the other kind."""
    media = await services.blocking(services.media.get, MediaId(media_id), client=caller.scope)
    if media is None:
        raise NotFound(f"{(kind or 'media').capitalize()} not found: {media_id}")
    if kind is not None and media.media_type != kind:
        raise InvalidRequest(f"Requested resource is not {'an image' if kind == 'image' else 'a video'} file")
    return media


async def send_thumbnail(request: Request, services: Services, media: Media) -> Response:
    path = await services.blocking(services.files.thumbnail, media.file_path)
    headers = {"ETag": f'"{media.id}-thumbnail"', "Cache-Control": IMMUTABLE}
    return _unless_cached(request, FileResponse(path, media_type="image/webp", headers=headers))


async def send_file(request: Request, services: Services, media: Media) -> Response:
    """The picture or clip itself, with Range and ETag."""
    path = await services.blocking(services.files.whole, media.file_path)
    kind = "image/png" if media.media_type == "image" else "video/mp4"
    headers = {"ETag": f'"{media.id}"', "Cache-Control": IMMUTABLE}
    file = FileResponse(
        path, media_type=kind, headers=headers, filename=path.name, content_disposition_type="inline"
    )
    return _unless_cached(request, file)


def _unless_cached(request: Request, response: FileResponse) -> Response:
    etag = response.headers["etag"]
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": IMMUTABLE})
    return response
