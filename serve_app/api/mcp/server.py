"""The Model Context Protocol's server: its tools, behind the official SDK."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from pydantic import ValidationError
from starlette.requests import Request

from serve_app.api.addresses import own_address
from serve_app.api.errors import UNFORESEEN, ApiError, did_you_mean, validation_message
from serve_app.api.mcp.results import refusal
from serve_app.api.mcp.tools import TOOLS, Call
from storage.errors import StorageError

log = logging.getLogger("cyberimage.mcp")

INSTRUCTIONS = (
    "CyberImage makes pictures and clips from prompts, and clips from pictures. Jobs wait in a queue. A tool "
    "that makes something waits for it; if it answers before the job has ended, ask job_status with a wait. "
    "Pictures are named by their id; their url is where a person can open them."
)

Context = ServerRequestContext[Any, Request]


def create_server() -> Server[Any]:
    return Server(
        "cyberimage",
        title="CyberImage",
        version=version("cyberimage"),
        instructions=INSTRUCTIONS,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
    )


async def _list_tools(context: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
    return ListToolsResult(tools=[entry.described(name) for name, entry in TOOLS.items()])


async def _call_tool(context: Context, params: CallToolRequestParams) -> CallToolResult:
    """What the tool answers. What the caller did wrong is an answer too, for a language model to read."""
    if params.name not in TOOLS:
        raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}; {did_you_mean(params.name, TOOLS)}")
    entry = TOOLS[params.name]
    try:
        asked = entry.arguments.model_validate(params.arguments or {})
        return await entry.run(_call(context), asked)
    except ValidationError as error:
        return refusal(validation_message(_placed(error), params.arguments))
    except (ApiError, StorageError) as error:
        return refusal(str(error))
    except Exception:
        # The SDK would tell the caller the error's text.
        log.exception("the tool %s failed", params.name)
        return refusal(UNFORESEEN)


def _call(context: Context) -> Call:
    request = context.request
    assert request is not None, "the transport is HTTP"
    return Call(
        services=request.app.state.services,
        caller=request.state.caller,
        root=own_address(request),
        report=context.session.report_progress,
    )


def _placed(error: ValidationError) -> Iterable[dict[str, Any]]:
    """The problems as a request's, whose places begin with the part of the request."""
    return ({**problem, "loc": ("arguments", *problem["loc"])} for problem in error.errors())
