"""The API's description, as JSON and as pages; they work without a network."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response

from serve_app.api.errors import NotFound
from serve_app.api.headers import CONTENT_POLICY

router = APIRouter(include_in_schema=False)

#: Swagger UI's own files, as the package `fastapi-offline` carries them.
STATIC = Path(str(files("fastapi_offline"))) / "static"
TYPES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
#: Swagger UI sets styles on its elements.
DOCS_POLICY = f"{CONTENT_POLICY}; style-src 'self' 'unsafe-inline'"

# Every address is relative, so that the page works under any path of a proxy.
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>CyberImage API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
START = """SwaggerUIBundle({
  url: new URL("openapi.json", location.href).href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""


# FastAPI's own routes for these take their files from a network.
@router.get("/docs")
def page() -> HTMLResponse:
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": DOCS_POLICY})


@router.get("/docs/start.js")
def start() -> Response:
    return Response(START, media_type="text/javascript; charset=utf-8")


@router.get("/docs/{name}")
def asset(name: str) -> FileResponse:
    if name not in TYPES:
        raise NotFound(f"There is no such file: {name}")
    return FileResponse(STATIC / name, media_type=TYPES[name])


@router.get("/openapi.json")
def openapi(request: Request) -> JSONResponse:
    return JSONResponse(request.app.openapi())
