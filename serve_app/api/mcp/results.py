"""What a tool answers: facts as JSON, and pictures small enough for a conversation."""

from __future__ import annotations

import base64
import json
from typing import Any

from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent

from serve_app.api.services import Services
from storage.errors import MediaFileMissing, MediaUnreadable
from storage.media import Media

#: Bytes of pictures in one answer, above which they are shown by their thumbnails. Clients take about
#: a megabyte, in base64.
MOST_BYTES = 700_000


def facts(values: dict[str, Any], *pictures: ImageContent) -> CallToolResult:
    """The values for programs and, with the pictures, for the language model."""
    content: list[ContentBlock] = [TextContent(text=json.dumps(values, ensure_ascii=False)), *pictures]
    return CallToolResult(content=content, structured_content=values)


def refusal(message: str) -> CallToolResult:
    """An error that a language model can do something about."""
    return CallToolResult(content=[TextContent(text=message)], is_error=True)


def shown(services: Services, media: tuple[Media, ...]) -> list[ImageContent]:
    """The pictures, of clips the first frames. One whose file is gone is left out. Blocking."""
    small = sum(services.files.size(item.file_path) for item in media) <= MOST_BYTES
    pictures = []
    for item in media:
        try:
            pictures.append(_picture(services, item, whole=small))
        except (MediaFileMissing, MediaUnreadable):
            continue
    return pictures


def _picture(services: Services, item: Media, *, whole: bool) -> ImageContent:
    if whole and item.media_type == "image":
        path, kind = services.files.whole(item.file_path), "image/png"
    else:
        path, kind = services.files.thumbnail(item.file_path), "image/webp"
    return ImageContent(data=base64.b64encode(path.read_bytes()).decode(), mime_type=kind)


def summary(view: dict[str, Any]) -> dict[str, Any]:
    """A job as a language model is told of it, from its view in the native API."""
    same = ("status", "type", "prompt", "message", "error", "queue_position", "eta_seconds")
    return {
        "job_id": view["id"],
        "model": view["model_id"],
        **{name: view[name] for name in same},
        "percent": view["progress"]["percent"],
        "images": [_output(item) for item in view["images"]],
    }


def _output(item: dict[str, Any]) -> dict[str, Any]:
    same = ("id", "url", "media_type", "width", "height")
    return {name: item[name] for name in same} | {"seed": item["metadata"].get("seed")}
