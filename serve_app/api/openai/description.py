"""What FastAPI cannot know of this API's description: bodies that are read by hand, and the models."""

from __future__ import annotations

from typing import Any

from configs.registry import Registry
from serve_app.api.openai.paths import PREFIX
from serve_app.api.openai.schemas import VideoBody

Json = dict[str, Any]

REFERENCES = "#/components/schemas/{model}"


def describe(document: Json, registry: Registry) -> None:
    """Complete the OpenAPI document."""
    schemas = document["components"]["schemas"]
    _add(schemas, VideoBody.model_json_schema(ref_template=REFERENCES), "VideoBody")
    schemas["VideoForm"] = _form(schemas["VideoBody"])
    clips = [spec.name for spec in registry.values() if spec.is_video]
    for body in ("VideoBody", "VideoForm"):
        _offer(schemas[body]["properties"]["model"], clips)
    _offer(schemas["ImagesBody"]["properties"]["model"], [spec.name for spec in registry.of_type("image")])
    document["paths"][f"{PREFIX}/videos"]["post"]["requestBody"] = {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"$ref": REFERENCES.format(model="VideoForm")}},
            "application/json": {"schema": {"$ref": REFERENCES.format(model="VideoBody")}},
        },
    }


def _add(schemas: Json, schema: Json, name: str) -> None:
    schemas.update(schema.pop("$defs", {}))
    schemas[name] = schema


def _form(body: Json) -> Json:
    """The same as a form, in which the picture is a file."""
    what = "The picture. Instead of a file, input_reference[image_url] may hold a data: URL."
    file = {"type": "string", "format": "binary", "description": what}
    return body | {"properties": body["properties"] | {"input_reference": file}, "title": "VideoForm"}


def _offer(schema: Json, names: list[str]) -> None:
    """A field that takes one of these models, or null; an enum must not be empty."""
    if names:
        schema |= {"enum": [*names, None], "examples": names[:1]}
