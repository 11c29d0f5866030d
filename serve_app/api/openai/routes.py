"""All of this API, for the application."""

from __future__ import annotations

from fastapi import FastAPI

from serve_app.api.openai import image_files, images, models, video_submit, videos
from serve_app.api.openai.refusals import Refusals


def install(app: FastAPI) -> None:
    """Add the routes."""
    for module in (models, images, image_files, video_submit, videos):
        app.include_router(module.router)


def remember(app: FastAPI) -> None:
    """Add what stands around the gate: the memory of what was refused."""
    app.add_middleware(Refusals)
