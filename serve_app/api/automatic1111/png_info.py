"""What a PNG says about how it was made."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from fastapi import APIRouter

from serve_app.api.automatic1111 import schemas
from serve_app.api.automatic1111.infotext import parse
from serve_app.api.errors import InvalidRequest
from serve_app.api.services import Injected, Services
from storage.uploads import read_texts

router = APIRouter()


@router.post("/png-info", responses={200: {"model": schemas.PngTexts}})
async def png_info(body: schemas.PngInfo, services: Injected) -> dict[str, Any]:
    """The text chunks of a PNG, and its `parameters` read; the picture itself is not decoded."""
    items = await services.blocking(_texts, services, body.image)
    text = items.get("parameters", "")
    return {"info": text, "items": items, "parameters": parse(text) if text else {}}


def _texts(services: Services, image: str) -> dict[str, str]:
    try:
        data = base64.b64decode(_content(image), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("image is not a picture in base64") from error
    return read_texts(data, max_bytes=int(services.settings.max_upload_mb * 1e6))


def _content(image: str) -> str:
    """Without a `data:` prefix."""
    return image.partition(",")[2] if image.startswith("data:") else image.strip()
