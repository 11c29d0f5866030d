"""A Hugging Face Hub of this machine: the part of its HTTP interface that huggingface_hub downloads with.

Answers as https://huggingface.co does: files are at resolve/<revision>/, large ones redirected to another
host; sizes and digests are in model info and tree; refusals carry X-Error-Code.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

GOOD_TOKEN = "hf_accepted"
STRANGER_TOKEN = "hf_stranger"
_LARGE = {".safetensors", ".gguf", ".bin", ".model"}
_CHUNK = 4096


@dataclass(frozen=True, kw_only=True)
class Repository:
    files: dict[str, bytes]
    gated: bool = False

    @property
    def commit(self) -> str:
        names = "".join(f"{name}:{digest(name, data)}" for name, data in sorted(self.files.items()))
        return hashlib.sha1(names.encode()).hexdigest()


@dataclass(kw_only=True)
class Faults:
    """What the Hub does wrong. Names are those of files within a repository."""

    cut_after: dict[str, int] = field(default_factory=dict)
    """Close the connection after so many bytes of each answer."""
    cuts_left: int = 0
    damaged: set[str] = field(default_factory=set)
    no_ranges: bool = False
    status: int | None = None
    """Answer everything with this status."""
    failures_left: int = 10_000
    pause_s: float = 0.0
    """Before each piece of a file, and before every other answer."""


class Hub:
    """Serves while entered. `requests` has the method and path of everything that was asked for."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.faults = Faults()
        self.requests: list[str] = []
        self.storage_tokens: list[str | None] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def storage(self) -> str:
        """Another name of this machine, so that it is another host to the client."""
        return f"http://localhost:{self._server.server_port}"

    def add(self, name: str, files: dict[str, bytes], *, gated: bool = False) -> Repository:
        self.repositories[name] = Repository(files=files, gated=gated)
        return self.repositories[name]

    def downloads(self) -> list[str]:
        """Names of the files whose bytes were asked for, in a stable order."""
        return sorted(r.split("/resolve/")[1].split("/", 1)[1] for r in self.requests if _is_download(r))


def pipeline_files(components: dict[str, list[str | None]], files: dict[str, bytes]) -> dict[str, bytes]:
    """`files` with a model_index.json that names the components."""
    index = {"_class_name": "DemoPipeline", "_diffusers_version": "0.42.1", **components}
    return {"model_index.json": json.dumps(index).encode(), **files}


def shard_index(*shards: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": {f"w{i}": s for i, s in enumerate(shards)}}).encode()


def digest(name: str, data: bytes) -> str:
    if _is_large(name):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _is_large(name: str) -> bool:
    return PurePosixPath(name).suffix in _LARGE


def _is_download(request: str) -> bool:
    return request.startswith("GET ") and "/resolve/" in request


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.hub = hub
    return Handler


class _Refusal(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._serve()

    def do_GET(self) -> None:
        self._serve()

    def _serve(self) -> None:
        path = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {unquote(path)}")
        try:
            self._refuse_if_failing()
            self._route([unquote(piece) for piece in path.strip("/").split("/")])
        except _Refusal as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": refusal.message}
            self._answer(refusal.status, json.dumps({"error": refusal.message}).encode(), headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _refuse_if_failing(self) -> None:
        faults = self.hub.faults
        if faults.status is not None and faults.failures_left > 0:
            faults.failures_left -= 1
            raise _Refusal(faults.status, "", "out of order")

    def _route(self, pieces: list[str]) -> None:
        match pieces:
            case ["api", "models", owner, name, "revision", revision]:
                self._model_info(f"{owner}/{name}", self._repository(f"{owner}/{name}", revision))
            case ["api", "models", owner, name, "tree", revision]:
                self._tree(self._repository(f"{owner}/{name}", revision))
            case [owner, name, "resolve", revision, *rest]:
                self._resolve(self._repository(f"{owner}/{name}", revision), "/".join(rest))
            case ["storage", owner, name, *rest]:
                self.hub.storage_tokens.append(self.headers.get("Authorization"))
                file = "/".join(rest)
                self._send_file(file, self.hub.repositories[f"{owner}/{name}"].files[file], {})
            case _:
                raise _Refusal(404, "", "no such page")

    def _repository(self, name: str, revision: str) -> Repository:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token not in (GOOD_TOKEN, STRANGER_TOKEN):
            raise _Refusal(401, "", "Invalid credentials in Authorization header")
        repository = self.hub.repositories.get(name)
        if repository is None:
            raise _Refusal(404 if token else 401, "RepoNotFound", "Repository not found")
        if revision not in ("main", repository.commit):
            raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        if repository.gated and token != GOOD_TOKEN and "/resolve/" in self.path:
            raise _Refusal(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        return repository

    def _model_info(self, name: str, repository: Repository) -> None:
        siblings = [_sibling(file, data) for file, data in repository.files.items()]
        self._json({"id": name, "sha": repository.commit, "siblings": siblings})

    def _tree(self, repository: Repository) -> None:
        self._json([_tree_entry(file, data) for file, data in repository.files.items()])

    def _resolve(self, repository: Repository, file: str) -> None:
        if file not in repository.files:
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        data = repository.files[file]
        headers = {"X-Repo-Commit": repository.commit, "ETag": f'"{digest(file, data)}"'}
        if not _is_large(file):
            self._send_file(file, data, headers)
            return
        name = next(name for name, r in self.hub.repositories.items() if r is repository)
        headers |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": headers["ETag"]}
        headers["Location"] = f"{self.hub.storage}/storage/{name}/{file}"
        self._answer(HTTPStatus.FOUND, b"", headers)

    def _json(self, content: object) -> None:
        time.sleep(self.hub.faults.pause_s)
        self._answer(HTTPStatus.OK, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send_file(self, name: str, data: bytes, headers: dict[str, str]) -> None:
        faults = self.hub.faults
        if name in faults.damaged:
            data = bytes(byte ^ 0xFF for byte in data)
        start = 0 if faults.no_ranges else _range_start(self.headers.get("Range"))
        if start:
            headers = headers | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        status = HTTPStatus.PARTIAL_CONTENT if start else HTTPStatus.OK
        self._begin(status, headers | {"Content-Length": str(len(data) - start)})
        if self.command == "GET":
            self._send_pieces(name, data[start:])

    def _send_pieces(self, name: str, data: bytes) -> None:
        faults = self.hub.faults
        cut = faults.cut_after.get(name) if faults.cuts_left > 0 else None
        if cut is not None:
            faults.cuts_left -= 1
            data, self.close_connection = data[:cut], True
        for begin in range(0, len(data), _CHUNK):
            time.sleep(faults.pause_s)
            self.wfile.write(data[begin : begin + _CHUNK])

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self._begin(status, headers | {"Content-Length": str(len(body))})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _begin(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()


def _range_start(header: str | None) -> int:
    return int(header.removeprefix("bytes=").split("-")[0]) if header else 0


def _sibling(name: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": _oid(name, data)}
    if _is_large(name):
        entry["lfs"] = {"sha256": digest(name, data), "size": len(data), "pointerSize": 135}
    return entry


def _tree_entry(name: str, data: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(data), "oid": _oid(name, data)}
    if _is_large(name):
        entry["lfs"] = {"oid": digest(name, data), "size": len(data), "pointerSize": 135}
    return entry


def _oid(name: str, data: bytes) -> str:
    """What git has: of large files only a pointer."""
    return hashlib.sha1(b"pointer" + data).hexdigest() if _is_large(name) else digest(name, data)
