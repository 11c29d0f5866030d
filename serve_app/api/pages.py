"""The web page: its documents, and its files under an address that changes when they do.

Every address in the page is relative, so that it works under any path of a proxy. The documents lie at
one depth for the same reason.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from serve_app.api.errors import NotFound
from serve_app.api.linking import link_scripts, link_styles

router = APIRouter(include_in_schema=False)

FRONTEND = Path(__file__).parents[2] / "frontend"
MAIN_SCRIPT = "js/main.js"
MAIN_STYLE = "style/page.css"
READING = ["GET", "HEAD"]
TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
#: The address of a file holds the hash of all of them.
IMMUTABLE = "public, max-age=31536000, immutable"


@dataclass(frozen=True, kw_only=True, slots=True)
class StaticFile:
    """A file as it is sent. `gzipped` is None where that is not smaller."""

    data: bytes
    gzipped: bytes | None
    media_type: str
    etag: str

    def response(self, request: Request, cache_control: str) -> Response:
        """The file, gzipped if the client can read that; 304 if it has it already."""
        headers = {"ETag": self.etag, "Cache-Control": cache_control, "Vary": "Accept-Encoding"}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if self.gzipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                self.gzipped, headers=headers | {"Content-Encoding": "gzip"}, media_type=self.media_type
            )
        return Response(self.data, headers=headers, media_type=self.media_type)


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """All files of the page by their path, and the version that stands for them."""

    version: str
    document: StaticFile
    files: Mapping[str, StaticFile]


@cache
def load_site(folder: Path = FRONTEND) -> Site:
    """Read the page's files and link them. They are few and small, so they are kept in memory."""
    sources = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in TYPES and path.is_file()
    }
    contents = sources | link(sources)
    named = (part for name, data in sorted(contents.items()) for part in (name.encode(), data))
    version = hashlib.sha256(b"\0".join(named)).hexdigest()[:12]
    document = contents.pop("index.html").decode().replace("{version}", version)
    files = {name: _static(name, data) for name, data in contents.items()}
    return Site(version=version, document=_static("index.html", document.encode()), files=files)


def link(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that the document asks for, made of many. Raises LinkError."""
    texts = {name: data.decode() for name, data in sources.items() if name.endswith((".js", ".css"))}
    linked = link_scripts(texts, MAIN_SCRIPT) | link_styles(texts, MAIN_STYLE)
    return {name: text.encode() for name, text in linked.items()}


def _static(name: str, data: bytes) -> StaticFile:
    packed = gzip.compress(data, 9, mtime=0)
    return StaticFile(
        data=data,
        gzipped=packed if len(packed) < len(data) else None,
        media_type=TYPES[Path(name).suffix],
        etag=f'"{hashlib.sha256(data).hexdigest()[:16]}"',
    )


@router.api_route("/", methods=READING)
@router.api_route("/gallery", methods=READING)
@router.api_route("/queue", methods=READING)
def document(request: Request) -> Response:
    """The page; what it shows follows from its address."""
    return load_site().document.response(request, "no-cache")


@router.api_route("/assets/{version}/{path:path}", methods=READING)
def asset(version: str, path: str, request: Request) -> Response:
    """A file of the page. One of another version is the newest, and is not to be kept."""
    site = load_site()
    if path not in site.files:
        raise NotFound(f"There is no such file: {path}")
    return site.files[path].response(request, IMMUTABLE if version == site.version else "no-cache")


@router.api_route("/favicon.ico", methods=READING)
def favicon(request: Request) -> Response:
    return load_site().files["favicons/idle.svg"].response(request, "public, max-age=86400")
