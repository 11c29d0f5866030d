"""The API's description: FastAPI's, with the errors as they are, and the keys where they are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from configs.models import ModelType
from configs.registry import Registry
from serve_app.api.dialects import DIALECTS, dialect_at
from serve_app.api.gate import OPEN_PATHS
from serve_app.api.openai import description as openai_description
from serve_app.api.replies import ErrorReply

Json = dict[str, Any]

ERRORS = {"4XX": "The request cannot be answered.", "5XX": "The server cannot answer now."}
#: Fields of request bodies that name a model of one type.
MODEL_FIELDS: dict[tuple[str, str], ModelType] = {
    ("GenerateBody", "model_id"): "image",
    ("GenerateT2VBody", "model_id"): "t2v",
    ("GenerateVideoBody", "video_model_id"): "i2v",
}
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "basic": {"type": "http", "scheme": "basic", "description": "An API key as the password."},
}


def describe(app: FastAPI, registry: Registry, *, secured: bool, webhook_hosts: Sequence[str] = ()) -> Json:
    """The OpenAPI document, made once, with this server's models. `secured`: API keys are wanted.

    `webhook_hosts`: where jobs' ends may be told.
    """
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schemas = document["components"]["schemas"]
        schemas["ErrorReply"] = ErrorReply.model_json_schema()
        for dialect in DIALECTS:
            schemas[dialect.reply.__name__] = dialect.reply.model_json_schema()
        for (body, field), kind in MODEL_FIELDS.items():
            properties = schemas[body]["properties"]
            _offer(properties[field], [spec.name for spec in registry.of_type(kind)])
            properties["webhook_url"] = _webhook_url(webhook_hosts)
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        openai_description.describe(document, registry)
        for path, operation in _operations(document):
            _declare_errors(path, operation["responses"])
        if secured:
            document["components"]["securitySchemes"] = SECURITY
            document["security"] = [{name: []} for name in SECURITY]
            for path in OPEN_PATHS:
                document["paths"][path]["get"]["security"] = []
        app.openapi_schema = document
    return app.openapi_schema


def _offer(schema: Json, names: list[str]) -> None:
    """A field that takes one of these models; an enum must not be empty."""
    if names:
        schema |= {"enum": names, "examples": names[:1]}


def _webhook_url(hosts: Sequence[str]) -> Json:
    if not hosts:
        return {"type": "null", "description": "This server tells nobody: CYBERIMAGE_WEBHOOK_HOSTS is empty."}
    address = {"type": "string", "maxLength": 2000, "pattern": f"^({'|'.join(map(re.escape, hosts))})(/|$)"}
    what = "Where the job's end is told, by a signed POST of its status."
    return {"anyOf": [address, {"type": "null"}], "description": what, "examples": [f"{hosts[0]}/cyberimage"]}


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            yield path, operation


def _declare_errors(path: str, responses: Json) -> None:
    responses.pop("422", None)
    for response in responses.values():
        for content in response.get("content", {}).values():
            _keep_reference(content.get("schema", {}))
    dialect = dialect_at(path)
    reply = ErrorReply if dialect is None else dialect.reply
    schema = {"$ref": f"#/components/schemas/{reply.__name__}"}
    for status, description in ERRORS.items():
        responses.setdefault(
            status, {"description": description, "content": {"application/json": {"schema": schema}}}
        )


def _keep_reference(schema: Json) -> None:
    """FastAPI merges the return type's schema with the declared model's; the model's says more."""
    if "$ref" in schema:
        reference = schema["$ref"]
        schema.clear()
        schema["$ref"] = reference
