"""The routes of this API."""

from __future__ import annotations

from fastapi import APIRouter

from serve_app.api.automatic1111 import lists, options, png_info, progress, txt2img

#: Routes whose requests carry a picture in base64.
WITH_PICTURES = ("/sdapi/v1/img2img", "/sdapi/v1/png-info")

router = APIRouter(prefix="/sdapi/v1", tags=["AUTOMATIC1111"])
for module in (txt2img, progress, options, png_info, lists):
    router.include_router(module.router)
