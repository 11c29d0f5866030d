"""A picture in the format that was asked for, in a reply or at an address."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from PIL import Image

from serve_app.api.addresses import own_address
from serve_app.api.callers import CalledBy
from serve_app.api.media import IMMUTABLE, PICTURE, find, send_file
from serve_app.api.openai.routing import TellingRoute
from serve_app.api.openai.schemas import QUALITY, Compression, OutputFormat
from serve_app.api.schemas import Name
from serve_app.api.services import Injected, Services
from storage.errors import MediaUnreadable
from storage.media import Media

router = APIRouter(tags=["OpenAI"], route_class=TellingRoute)

FILES: dict[int | str, dict[str, Any]] = {
    **PICTURE,
    200: {
        "description": "The picture",
        "content": {"image/png": {}, "image/jpeg": {}, "image/webp": {}},
    },
}


@router.get("/v1/images/{media_id}/content", response_class=Response, responses=FILES)
async def content(
    media_id: Name,
    request: Request,
    services: Injected,
    caller: CalledBy,
    output_format: OutputFormat = "png",
    output_compression: Annotated[Compression, Query()] = QUALITY,
) -> Response:
    """The file behind a `url` of this API's replies."""
    media = await find(services, caller, media_id, "image")
    if output_format == "png":
        return await send_file(request, services, media)
    data = await services.blocking(read_as, services, media, output_format, output_compression)
    return Response(data, media_type=f"image/{output_format}", headers={"Cache-Control": IMMUTABLE})


def address_of(request: Request, media: Media, output_format: OutputFormat, quality: int) -> str:
    """Where the picture is, for the client that asked for it."""
    address = f"{own_address(request)}/v1/images/{media.id}/content"
    if output_format == "png":
        return address
    return f"{address}?{urlencode({'output_format': output_format, 'output_compression': quality})}"


def read_as(services: Services, media: Media, output_format: OutputFormat, quality: int) -> bytes:
    """The picture's file, or what it is in another format. Blocking.

    Raises MediaFileMissing, MediaUnreadable.
    """
    path = services.files.whole(media.file_path)
    if output_format == "png":
        return path.read_bytes()
    return encoded(path, output_format, quality)


def encoded(source: Path | BytesIO, output_format: OutputFormat, quality: int = QUALITY) -> bytes:
    """A picture in that format. Raises MediaUnreadable. Blocking."""
    file = BytesIO()
    try:
        with Image.open(source) as image:
            image.convert("RGB").save(file, output_format.upper(), quality=quality)
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaUnreadable from error
    return file.getvalue()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
