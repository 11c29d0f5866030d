"""The JSON-RPC dialect of earlier clients: a few methods by one route, and jobs that are asked after."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from configs.models import ModelSpec, ModelType
from serve_app.api.callers import CalledBy, Caller
from serve_app.api.dialects import RPC_SERVER_ERROR, rpc_error
from serve_app.api.errors import ApiError, InvalidRequest, headers_of, status_of, validation_message
from serve_app.api.job_access import find_job, view_of
from serve_app.api.schemas import ImageSettings, Name, Text, VideoSettings
from serve_app.api.services import Injected, Services
from serve_app.api.submission import check_source, checked_job, idempotency, submit
from serve_app.api.submit import IdempotencyKey
from serve_app.api.validation import choose_default
from storage.errors import StorageError
from storage.jobs import Job

router = APIRouter(tags=["MCP"])

PATH = "/api/mcp"
PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
#: What a method raises when its parameters are wrong, though well-formed.
WRONG_PARAMS = (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)

Json = dict[str, Any]
Params = TypeVar("Params", bound=BaseModel)


class _Refused(Exception):
    """A call that is not carried out."""

    def __init__(self, code: int, message: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


class PictureParams(BaseModel):
    prompt: Text
    negative_prompt: Text | None = None
    model: Name | None = None
    settings: ImageSettings = Field(default_factory=ImageSettings)


class ClipParams(BaseModel):
    prompt: Text
    negative_prompt: Text | None = None
    model: Name | None = None
    source_image_id: Name | None = None
    settings: VideoSettings = Field(default_factory=VideoSettings)


class StatusParams(BaseModel):
    job_id: Name


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    services: Services
    caller: Caller
    root: str
    params: Json
    idempotency_key: str | None

    def read(self, kind: type[Params]) -> Params:
        """The parameters. Raises ValidationError."""
        return kind.model_validate(self.params)

    async def submit(self, job: Job, params: BaseModel) -> Json:
        once = idempotency(self.idempotency_key, PATH, params)
        job = await submit(self.services, self.caller, job, once)
        return {"job_id": job.id, "status": job.status.value, "num_images": job.outputs}


async def _picture_models(call: _Call) -> Json:
    return _models(call.services, "image")


async def _clip_models(call: _Call) -> Json:
    return _models(call.services, "t2v", "i2v")


def _models(services: Services, *kinds: ModelType) -> Json:
    specs = [spec for kind in kinds for spec in services.registry.of_type(kind)]
    default = services.registry.default(kinds[0])
    return {"models": {spec.name: _model(spec) for spec in specs}, "default": default and default.name}


def _model(spec: ModelSpec) -> Json:
    return {
        "id": spec.name if spec.demo else spec.repo,
        "description": spec.description,
        "type": spec.type,
    }


async def _picture(call: _Call) -> Json:
    params = call.read(PictureParams)
    spec = choose_default(call.services.registry, params.model, "image")
    job = checked_job(call.services, spec, params.prompt, params.negative_prompt, params.settings)
    return await call.submit(job, params)


async def _clip(call: _Call) -> Json:
    params = call.read(ClipParams)
    source = params.source_image_id
    spec = choose_default(call.services.registry, params.model, "t2v" if source is None else "i2v")
    if source is not None:
        await check_source(call.services, call.caller, source)
    job = checked_job(
        call.services,
        spec,
        params.prompt,
        params.negative_prompt,
        params.settings,
        source_image_id=source,
    )
    return await call.submit(job, params)


async def _status(call: _Call) -> Json:
    job = await find_job(call.services, call.caller, call.read(StatusParams).job_id)
    view = await view_of(call.services, job, call.root)
    same = ("status", "prompt", "created_at", "started_at", "completed_at", "error", "progress")
    return {
        "job_id": job.id,
        "model": job.model,
        **{name: view[name] for name in same},
        "images": [_output(item, call.root) for item in view["images"]],
    }


def _output(item: Json, root: str) -> Json:
    return {
        "id": item["id"],
        "url": f"{root}/api/get_{item['media_type']}/{item['id']}",
        "metadata": item["metadata"],
    }


METHODS: dict[str, Callable[[_Call], Awaitable[Json]]] = {
    "context.image_generation.models": _picture_models,
    "context.image_generation.generate": _picture,
    "context.image_generation.status": _status,
    "context.video_generation.models": _clip_models,
    "context.video_generation.generate": _clip,
    "context.video_generation.status": _status,
}


class RpcRequest(BaseModel):
    """A JSON-RPC 2.0 request."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "jsonrpc": "2.0",
                "method": "context.image_generation.generate",
                "params": {"prompt": "a large red circle on a blue background"},
                "id": 1,
            }
        }
    )
    jsonrpc: Literal["2.0"]
    method: str = Field(json_schema_extra={"enum": list(METHODS)})
    params: dict[str, Any] = Field(default_factory=dict)
    id: str | int | float | None = None


class RpcReply(BaseModel):
    """A JSON-RPC 2.0 reply."""

    jsonrpc: Literal["2.0"]
    result: dict[str, Any]
    id: str | int | float | None


BODY = {"required": True, "content": {"application/json": {"schema": RpcRequest.model_json_schema()}}}


@router.post(PATH, responses={200: {"model": RpcReply}}, openapi_extra={"requestBody": BODY})
async def rpc(
    request: Request, services: Injected, caller: CalledBy, key: IdempotencyKey = None
) -> JSONResponse:
    """Models, generate and status by JSON-RPC. A server of the Model Context Protocol itself is at /mcp."""
    call_id: str | int | float | None = None
    try:
        body = _envelope(await request.body())
        call_id = body.get("id", str(uuid.uuid4()))
        method = _method(body)
        root = request.scope.get("root_path", "")
        call = _Call(services=services, caller=caller, root=root, params=body["params"], idempotency_key=key)
        return JSONResponse({"jsonrpc": "2.0", "result": await method(call), "id": call_id})
    except _Refused as refusal:
        return JSONResponse(rpc_error(str(refusal), refusal.code, call_id), refusal.status)
    except (ApiError, StorageError, ValidationError) as error:
        return _failed(error, call_id)


def _envelope(body: bytes) -> Json:
    """A JSON object with an id that can be given back. Raises _Refused."""
    try:
        envelope = json.loads(body)
        # Python reads more than it can write: lone surrogates, NaN, numbers beyond every double.
        json.dumps(envelope, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise _Refused(PARSE_ERROR, "The body is not valid JSON") from None
    if not isinstance(envelope, dict):
        raise _Refused(INVALID_REQUEST, "The body must be one JSON object")
    call_id = envelope.get("id")
    if isinstance(call_id, bool) or not isinstance(call_id, str | int | float | None):
        raise _Refused(INVALID_REQUEST, "id must be a string, a number or null")
    return envelope


def _method(envelope: Json) -> Callable[[_Call], Awaitable[Json]]:
    """What is called; `params` are an object then. Raises _Refused."""
    if envelope.get("jsonrpc") != "2.0":
        raise _Refused(INVALID_REQUEST, 'jsonrpc must be "2.0"')
    name = envelope.get("method")
    if not isinstance(name, str):
        raise _Refused(INVALID_REQUEST, "method must be a string")
    if name not in METHODS:
        message = f"Method not found: {name[:100]}; known are {', '.join(METHODS)}"
        raise _Refused(METHOD_NOT_FOUND, message, HTTPStatus.NOT_FOUND)
    if envelope.get("params") is None:
        envelope["params"] = {}
    if not isinstance(envelope["params"], dict):
        raise _Refused(INVALID_PARAMS, "params must be an object")
    return METHODS[name]


def _failed(error: Exception, call_id: object) -> JSONResponse:
    if isinstance(error, ValidationError):
        placed = ({**problem, "loc": ("params", *problem["loc"])} for problem in error.errors())
        error = InvalidRequest(validation_message(placed, None))
    status = status_of(error)
    if isinstance(error, ApiError) and status in WRONG_PARAMS:
        return JSONResponse(rpc_error(str(error), INVALID_PARAMS, call_id), HTTPStatus.BAD_REQUEST)
    return JSONResponse(rpc_error(str(error), RPC_SERVER_ERROR, call_id), status, headers_of(error))
