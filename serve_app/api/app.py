"""The FastAPI application: every route, over one set of services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from serve_app.api import (
    docs,
    enrich,
    errors,
    events,
    jobs,
    media,
    models,
    pages,
    queue,
    server,
    submit,
    tags,
)
from serve_app.api.automatic1111 import routes as automatic1111
from serve_app.api.body_limit import BodyLimit
from serve_app.api.gate import Gate
from serve_app.api.headers import SecurityHeaders
from serve_app.api.mcp import rpc, transport
from serve_app.api.openai import routes as openai
from serve_app.api.openapi import describe
from serve_app.api.services import Services

#: Largest JSON body, in bytes. Prompts are at most 2000 characters.
MAX_JSON_BYTES = 1_000_000
#: Room for the multipart frame around an uploaded file.
MULTIPART_FRAME_BYTES = 100_000


def create_app(services: Services) -> FastAPI:
    """The application; it keeps `services` in `app.state.services`."""
    app = FastAPI(
        title="CyberImage",
        version=version("cyberimage"),
        summary="Text to image, text to video and image to video behind a durable queue.",
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        strict_content_type=False,
    )
    app.state.services = services
    secured = bool(services.settings.api_keys or services.settings.admin_keys)
    app.openapi = partial(  # type: ignore[method-assign]
        describe,
        app,
        services.registry,
        secured=secured,
        webhook_hosts=services.settings.webhook_hosts,
    )
    errors.install(app)
    app.router.routes.append(transport.route)
    for api in (automatic1111, rpc):
        app.include_router(api.router)
    for module in (submit, jobs, media, tags, queue, models, events, server, enrich, docs, pages):
        app.include_router(module.router)
    openai.install(app)
    largest_upload = int(services.settings.max_upload_mb * 1e6) + MULTIPART_FRAME_BYTES
    app.add_middleware(BodyLimit, most_bytes=MAX_JSON_BYTES, exceptions=_larger(largest_upload))
    app.add_middleware(Gate, settings=services.settings)
    openai.remember(app)
    app.add_middleware(SecurityHeaders)
    if services.settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(services.settings.cors_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["Retry-After", "Content-Disposition"],
        )
    return app


def _larger(largest_upload: int) -> dict[str, int]:
    """The paths that take a picture; all but the first take it in base64, too."""
    in_base64 = (*automatic1111.WITH_PICTURES, "/v1/videos")
    return {"/api/upload": largest_upload} | dict.fromkeys(in_base64, largest_upload * 4 // 3)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    follower = asyncio.create_task(services.outlooks.follow(services.news))
    async with transport.answering(app):
        yield
    follower.cancel()
    services.blocking.close()
