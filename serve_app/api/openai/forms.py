"""A request's body, sent as a form or as JSON: the SDKs send forms, other programs JSON."""

from __future__ import annotations

import json
import re
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from serve_app.api.errors import InvalidRequest
from serve_app.api.openai.routing import refusal
from serve_app.api.openai.schemas import VideoBody
from serve_app.api.services import Services

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
#: `input_reference[image_url]`
_NESTED = re.compile(r"(\w+)\[(\w+)\]", re.ASCII)
#: A request has a dozen fields.
MOST_FIELDS = 100


async def read_video_body(request: Request, services: Services) -> tuple[VideoBody, bytes | None]:
    """The body, and the file that came with it. Raises InvalidRequest."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in FORMS:
        values, file = await services.blocking(_parsed, await request.body()), None
    else:
        most = int(services.settings.max_upload_mb * 1e6) * 2
        async with request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=most) as form:
            values, file = _values(form), await _file(form)
    try:
        return VideoBody.model_validate(values), file
    except ValidationError as error:
        problems = [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        raise refusal(problems, values) from error


def _parsed(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}", code="invalid_request") from error


def _values(form: FormData) -> dict[str, Any]:
    """The form's texts; empty ones count as absent, but for the prompt."""
    values: dict[str, Any] = {}
    for name, text in form.multi_items():
        if isinstance(text, UploadFile) or (text == "" and name != "prompt"):
            continue
        if (nested := _NESTED.fullmatch(name)) is None:
            values[name] = text
        elif isinstance(inner := values.setdefault(nested[1], {}), dict):
            inner[nested[2]] = text
    return values


async def _file(form: FormData) -> bytes | None:
    file = form.get("input_reference")
    return await file.read() if isinstance(file, UploadFile) else None
