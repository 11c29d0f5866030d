"""What web pages can do with the server: those of others nothing, its own what they need."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from in_process import Workshop, clip, picture

from serve_app.api.hosts import is_answered
from serve_app.api.origins import is_foreign
from storage.errors import DatabaseUnavailable

PAINT = {"model_id": "paint", "prompt": "x"}
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>\u202egpj.exe'

# -- names: DNS rebinding


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:7860", "LOCALHOST", "app.localhost:80", "127.0.0.1:7860", "[::1]:7860"),
        *("192.168.1.20:7860", "8.8.8.8", "[2001:db8::1]", "cyberimage:7860", "gpu-box", "gpu-box.local"),
        *("host.docker.internal:7860", "gpu.home.arpa", "localhost.", ""),
    ],
)
def test_addresses_and_private_names_are_answered(host: str) -> None:
    assert is_answered(host, ())


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example"),
        *("evil.example.", "local.evil", "127.0.0.1.nip.io", "a.b", "1.2.3", "[::1].evil.example.com"[5:]),
    ],
)
def test_public_names_are_answered_only_when_listed(host: str) -> None:
    assert not is_answered(host, ())
    assert is_answered(host, ("*",))


def test_names_are_listed_one_by_one_or_all_below_one() -> None:
    assert is_answered("Pictures.example:443", ("pictures.example",))
    assert is_answered("a.b.example", ("*.b.example",))
    for other in ("b.example", "ab.example", "evil-b.example", "b.example.evil"):
        assert not is_answered(other, ("*.b.example",))


async def test_a_page_under_a_borrowed_name_reads_and_changes_nothing(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    job_id = workshop.add()
    for method, path in [("GET", f"/api/status/{job_id}"), ("POST", "/api/queue/clear"), ("GET", "/docs")]:
        reply = await idle.request(method, path, headers={"Host": "evil.example:7860"})
        assert (reply.status_code, reply.json()["code"]) == (403, "host_not_allowed")
        assert "CYBERIMAGE_ALLOWED_HOSTS" in reply.json()["message"]
    assert (await idle.get("/health", headers={"Host": "evil.example"})).status_code == 200


@pytest.mark.parametrize(
    ("settings", "answered", "refused"),
    [
        ({"allowed_hosts": "pictures.example"}, ["pictures.example"], ["evil.example"]),
        ({"api_keys": "k"}, ["pictures.example", "evil.example"], []),
        (
            {"api_keys": "k", "allowed_hosts": "pictures.example"},
            ["pictures.example", "localhost:7860"],
            ["evil.example"],
        ),
    ],
)
async def test_with_keys_every_name_is_answered_unless_some_are_listed(
    workshop: Workshop, settings: dict[str, str], answered: list[str], refused: list[str]
) -> None:
    async with workshop.serving(dispatching=False, **settings) as client:
        for host in answered + refused:
            reply = await client.get("/api/queue", headers={"Host": host, "Authorization": "Bearer k"})
            assert reply.status_code == (200 if host in answered else 403)


# -- origins: cross-site request forgery

ELSEWHERE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": "http://cyberimage:8080"},
    {"Origin": "http://cyberimage.evil.example"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://cyberimage", "Sec-Fetch-Site": "cross-site"},
]
HERE = [
    {},
    {"Origin": "http://cyberimage"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    # Behind a proxy that rewrites Host, the browser's own word counts.
    {"Origin": "https://pictures.example", "Sec-Fetch-Site": "same-origin"},
]


def changing_routes(app: Any) -> list[tuple[str, str]]:
    paths = app.openapi()["paths"].items()
    return [(m.upper(), path) for path, operations in paths for m in operations if m not in ("get", "head")]


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
async def test_a_page_elsewhere_changes_nothing_by_any_route(
    idle: httpx.AsyncClient, workshop: Workshop, headers: dict[str, str]
) -> None:
    job_id = workshop.add()
    routes = changing_routes(idle._transport.app)  # type: ignore[attr-defined]
    assert len(routes) > 14
    for method, path in routes:
        path = re.sub(r"\{\w+\}", job_id, path)
        # A form, which browsers send across origins without asking first.
        reply = await idle.request(method, path, headers=headers, data={"model_id": "paint"})
        assert reply.status_code == 403, path
        assert "A web page of another origin may change nothing here" in reply.text, path
    assert workshop.job(job_id).cancel_requested is False
    assert sum(workshop.stores.jobs.counts().values()) == 1


@pytest.mark.parametrize("headers", HERE, ids=str)
async def test_programs_and_the_servers_own_page_may_change_things(
    idle: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await idle.post("/api/generate", json=PAINT, headers=headers)).status_code == 200


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
def test_reading_is_left_to_the_browsers_own_rules(headers: dict[str, str]) -> None:
    assert not is_foreign("GET", {name.lower(): value for name, value in headers.items()}, ())


async def test_an_allowed_origin_may_change_things_and_another_not(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, cors_origins="https://Studio.example/") as client:
        for origin, status in [("https://studio.example", 200), ("https://evil.example", 403)]:
            headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
            reply = await client.post("/api/generate", json=PAINT, headers=headers)
            assert reply.status_code == status
            assert (reply.headers.get("access-control-allow-origin") == origin) is (status == 200)


async def test_no_page_elsewhere_may_read_unless_configured(idle: httpx.AsyncClient) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for reply in (
        await idle.get("/api/jobs", headers=headers),
        await idle.options("/api/generate", headers=headers),
    ):
        assert not [name for name in reply.headers if name.startswith("access-control")]


# -- what replies may do in a browser

POLICY = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def directives(reply: httpx.Response) -> dict[str, str]:
    policy = reply.headers["content-security-policy"]
    return dict(part.strip().partition(" ")[::2] for part in policy.split(";"))


async def test_every_reply_tells_browsers_what_it_may_do(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, api_keys="k") as client:
        key = {"Authorization": "Bearer k"}
        media = workshop.add_media()
        foreign = key | {"Origin": "https://evil.example"}
        replies = [
            await client.get("/health"),
            await client.get("/api/queue"),
            await client.get("/api/queue", headers=key),
            await client.get(f"/api/image/{media.id}", headers=key),
            await client.get(f"/api/image/{media.id}", headers=key | {"If-None-Match": "*"}),
            await client.get("/api/nope", headers=key),
            await client.get("/docs", headers=key),
            await client.post("/api/generate", headers=key, content=b"x" * 2_000_000),
            await client.post("/api/generate", headers=foreign),
        ]
        workshop.stores.jobs.page = lambda **_: 1 / 0  # type: ignore[assignment,misc,method-assign,return-value]
        replies.append(await client.get("/api/jobs", headers=key))
    assert [reply.status_code for reply in replies] == [200, 401, 200, 200, 304, 404, 200, 413, 403, 500]
    for reply in replies:
        assert POLICY.items() <= dict(reply.headers).items()
        policy = directives(reply)
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
        assert "script-src" not in policy


async def test_an_unhealthy_reply_has_the_headers_too(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    def refuse(**_: object) -> None:
        raise DatabaseUnavailable

    workshop.stores.jobs.counts = refuse  # type: ignore[method-assign, assignment]
    reply = await idle.get("/health")
    assert (reply.status_code, reply.headers["x-content-type-options"]) == (503, "nosniff")


async def test_scripts_in_prompts_and_names_come_back_as_data(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    metadata = {"model_id": EVIL, "prompt": EVIL, "seed": 1}
    media = workshop.add_media(job_id="job-x", metadata=metadata)
    reply = await idle.post("/api/generate", json={"model_id": "paint", "prompt": EVIL})
    job_id = reply.json()["job_id"]
    upload = await idle.post("/api/upload", files={"file": (f"{EVIL}.html", picture(8, 8), "text/html")})
    evil_id = "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
    paths = [
        *(f"/api/status/{job_id}", f"/api/jobs/{job_id}", "/api/jobs", "/api/gallery", "/api/models"),
        *("/api/queue?detailed=true", "/metrics", "/openapi.json", "/health", upload.json()["url"]),
        *(f"/api/image/{media.id}", f"/api/image/{media.id}/metadata", f"/api/image/{media.id}/thumbnail"),
        *(f"/api/status/{evil_id}", f"/api/image/{evil_id}", f"/api/jobs?status={evil_id}", f"/{evil_id}"),
        *(f"/api/gallery?search={evil_id}", f"/api/gallery?cursor={evil_id}", f"/docs/{evil_id}"),
    ]
    seen = 0
    for path in paths:
        reply = await idle.get(path)
        assert reply.headers["x-content-type-options"] == "nosniff"
        kind = reply.headers["content-type"]
        assert kind == "application/json" or kind.startswith(("image/", "text/plain; version=")), path
        if kind == "application/json":
            seen += EVIL in json.dumps(reply.json(), ensure_ascii=False).replace('\\"', '"')
    assert seen >= 5


async def test_the_pages_hold_nothing_that_people_sent(idle: httpx.AsyncClient, workshop: Workshop) -> None:
    workshop.add_media(job_id="job-x", metadata={"model_id": EVIL, "prompt": EVIL, "seed": 1})
    await idle.post("/api/generate", json={"model_id": "paint", "prompt": EVIL})
    for path in ("/docs", "/", "/docs/start.js"):
        assert "alert(" not in (await idle.get(path)).text


async def test_files_are_named_by_their_id_and_of_the_type_they_are(
    idle: httpx.AsyncClient, workshop: Workshop
) -> None:
    image, video = workshop.add_media(), workshop.add_media(clip(), media_type="video")
    for path, kind, name in [
        (f"/api/image/{image.id}", "image/png", f'inline; filename="{image.id}.png"'),
        (f"/api/video/{video.id}", "video/mp4", f'inline; filename="{video.id}.mp4"'),
    ]:
        reply = await idle.get(path)
        assert (reply.headers["content-type"], reply.headers["content-disposition"]) == (kind, name)


# -- the docs, without a network


class Tags(HTMLParser):
    """Addresses in a page, and whether it holds scripts or handlers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [value for name in ("src", "href") if (value := given.get(name))]
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.inline.append(tag)


async def test_the_docs_need_nothing_from_elsewhere_and_no_inline_script(idle: httpx.AsyncClient) -> None:
    page = await idle.get("/docs")
    tags = Tags()
    tags.feed(page.text)
    assert tags.inline == []
    files = [address for address in tags.addresses if not address.startswith("data:")]
    assert len(files) == 3
    for address in files:
        assert not re.match(r"\w+:|/", address), "only relative addresses work behind a proxy's path"
        reply = await idle.get(f"/{address}")
        kind = "text/css" if address.endswith(".css") else "text/javascript"
        assert (reply.status_code, reply.headers["content-type"].partition(";")[0]) == (200, kind)
        assert len(reply.content) > 100
    assert "swagger-ui" in page.text
    assert "'unsafe-inline'" not in directives(page)["default-src"]


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2Fcore.py", "%2e%2e/core.py", "favicon.png"])
async def test_only_the_files_of_the_docs_are_served_there(idle: httpx.AsyncClient, name: str) -> None:
    assert (await idle.get(f"/docs/{name}")).status_code == 404
