"""Nothing outside the media folder is served, and nothing elsewhere is fetched."""

from __future__ import annotations

import ast
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from in_process import Workshop, picture

from storage.media import MediaId

SECRET = "the content of a secret file"
ROOT = Path(__file__).parents[4]

CLIMBS = [
    *("../secret.txt", "..%2Fsecret.txt", "%2e%2e%2fsecret.txt", "..%5csecret.txt", "%2e%2e/secret.txt"),
    *("....//secret.txt", "..%252fsecret.txt", "..%c0%afsecret.txt", "secret.txt%00.png"),
    "%2Fetc%2Fpasswd",
    *("..;/secret.txt", "file:%2F%2F%2Fetc%2Fpasswd", "~root", ".", "..", "%00", "a" * 4000),
    "%E2%80%A5/secret",
    *("media/../secret.txt", "2026%2F01%2F01%2F..%2F..%2F..%2F..%2Fsecret.txt"),
]
ROUTES = [
    *("/api/image/{}", "/api/video/{}", "/api/image/{}/thumbnail", "/api/image/{}/metadata"),
    *("/api/get_image/{}", "/api/status/{}", "/docs/{}", "/assets/1/{}", "/{}", "/api/models/{}/unload"),
]


@pytest.mark.parametrize("climb", CLIMBS)
async def test_no_address_leads_out_of_the_media_folder(
    idle: httpx.AsyncClient, workshop: Workshop, tmp_path: Path, climb: str
) -> None:
    (tmp_path / "secret.txt").write_text(SECRET)
    for route in ROUTES:
        # httpx would tidy the path up; a hostile client does not.
        url = httpx.URL("http://cyberimage").copy_with(raw_path=route.format(climb).encode())
        for method in ("GET", "DELETE"):
            reply = await idle.request(method, url)
            assert SECRET not in reply.text
            assert "root:" not in reply.text
            assert reply.status_code < 500
    assert (tmp_path / "secret.txt").exists()


@pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "2026/../../secret.png"])
async def test_a_forged_row_serves_and_deletes_no_file_outside(
    idle: httpx.AsyncClient, workshop: Workshop, tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_text(SECRET)
    good = workshop.add_media()
    forged = {name: getattr(good, name) for name in good.__dataclass_fields__}
    workshop.stores.media.add(type(good)(**(forged | {"id": MediaId("forged"), "file_path": path})))
    for method, url in [
        ("GET", "/api/image/forged"),
        ("GET", "/api/image/forged/thumbnail"),
        ("POST", "/api/batch_download"),
        ("DELETE", "/api/image/forged"),
    ]:
        body = {"ids": ["forged"]} if method == "POST" else None
        reply = await idle.request(method, url, json=body)
        assert (reply.status_code, reply.json()["message"]) == (
            500,
            "The path is not inside the media folder.",
        )
    assert secret.read_text() == SECRET


async def test_the_dispatcher_reads_no_file_that_a_client_names(
    client: httpx.AsyncClient, workshop: Workshop, tmp_path: Path
) -> None:
    (tmp_path / "secret.png").write_bytes(picture(8, 8))
    for source in ("../secret.png", str(tmp_path / "secret.png"), "file:///etc/passwd"):
        body = {"source_image_id": source, "video_model_id": "animate", "video_prompt": "x"}
        assert (await client.post("/api/generate_video", json=body)).status_code == 404
    assert sum(workshop.stores.jobs.counts().values()) == 0


# -- server-side request forgery


@pytest.fixture
def contacted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Addresses that this process connects to or looks up."""
    addresses: list[Any] = []
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, lambda _, address: addresses.append(address))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *names, **_: addresses.append(names))
    return addresses


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://127.0.0.1:9/x.png",
            "http://169.254.169.254/latest/meta-data/",
            "https://evil.example/x.png",
        ),
        *("file:///etc/passwd", "ftp://evil.example/x", "gopher://127.0.0.1:6379/_INFO", "//evil.example/x"),
        "data:image/png;base64,AAAA",
    ],
)
async def test_no_address_that_a_client_names_is_contacted(
    client: httpx.AsyncClient, workshop: Workshop, contacted: list[Any], url: str
) -> None:
    source = {"source_image_id": url, "video_model_id": "animate", "video_prompt": url}
    paint = {"model_id": "paint", "prompt": url, "image_url": url, "init_image": url}
    replies = [
        await client.post("/api/generate_video", json=source),
        await client.post("/api/generate", json=paint | {"settings": {"source_image_id": url}}),
        await client.post("/api/generate", json=paint | {"model_id": url}),
        await client.post("/api/generate", json=paint | {"webhook_url": url}),
        await client.post("/api/upload", files={"file": ("x.url", url.encode())}),
        await client.post("/api/upload", data={"file": url}),
        await client.post("/api/batch_download", json={"ids": [url]}),
    ]
    assert [reply.status_code for reply in replies] == [404, 200, 400, 400, 400, 400, 404]
    await workshop.ended(replies[1].json()["job_id"])
    assert contacted == []


CLIENTS = {"httpx", "httpx2", "requests", "aiohttp", "urllib3", "urllib.request", "http.client", "ftplib"}
#: The command's client, the server that asks itself whether it is up, the chat endpoint of the settings, and
#: webhooks to hosts of the settings (test_webhooks.py).
SPEAK_HTTP = ("serve_app/cli/", "serve_app/server.py", "serve_app/api/enrich.py", "serve_app/webhooks.py")


def test_no_module_that_handles_requests_has_an_http_client() -> None:
    found = []
    for folder in ("serve_app", "storage"):
        for file in (ROOT / folder).rglob("*.py"):
            name = str(file.relative_to(ROOT))
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if CLIENTS & set(modules) and not name.startswith(SPEAK_HTTP):
                    found.append(name)
    assert found == []
