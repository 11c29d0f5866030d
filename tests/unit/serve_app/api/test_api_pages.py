"""The web page's files, as the server sends them."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from in_process import Workshop

from serve_app.api.pages import FRONTEND, TYPES, load_site

#: An address in a document or a module: src="...", href="...", from "...", import("...").
ADDRESS = re.compile(r"""(?:src=|href=|from |import\()"([^"$]+)\"""")
SCRIPTS = sorted(path for path in FRONTEND.rglob("*.js") if "vendor" not in path.parts)


async def get(workshop: Workshop, path: str, **headers: str) -> httpx.Response:
    async with workshop.serving(dispatching=False) as client:
        return await client.get(path, headers=headers)


@pytest.mark.parametrize("path", ["/", "/gallery", "/queue"])
async def test_every_page_is_the_same_document(workshop: Workshop, path: str) -> None:
    reply = await get(workshop, path)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert "{version}" not in reply.text
    assert reply.text.startswith("<!doctype html>")


async def test_the_documents_addresses_all_lead_somewhere_and_are_relative(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False) as client:
        found = ADDRESS.findall((await client.get("/")).text)
        replies = [await client.get(f"/{address}") for address in found]
    assert len(found) > 5
    assert not [address for address in found if address.startswith(("/", "http"))]
    assert {reply.status_code for reply in replies} == {200}


async def test_files_may_be_kept_for_ever_since_their_address_changes_with_them(workshop: Workshop) -> None:
    version = load_site().version
    reply = await get(workshop, f"/assets/{version}/js/main.js")
    assert reply.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in reply.headers["cache-control"]
    again = await get(workshop, f"/assets/{version}/js/main.js", **{"If-None-Match": reply.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_a_file_under_an_old_version_is_the_newest_and_not_kept(workshop: Workshop) -> None:
    reply = await get(workshop, "/assets/0ld/js/main.js")
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-cache"


async def test_files_travel_gzipped_to_those_who_can_read_that(workshop: Workshop) -> None:
    path = f"/assets/{load_site().version}/style/base.css"
    packed = await get(workshop, path, **{"Accept-Encoding": "gzip"})
    plain = await get(workshop, path, **{"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text == (FRONTEND / "style/base.css").read_text()


@pytest.mark.parametrize("path", ["js/none.js", "../../pyproject.toml", "index.html", "js"])
async def test_nothing_else_is_given_out(workshop: Workshop, path: str) -> None:
    reply = await get(workshop, f"/assets/{load_site().version}/{path.replace('/', '%2F')}")
    assert reply.status_code == 404


def test_a_change_of_any_file_changes_the_version(tmp_path: Path) -> None:
    for name in ("index.html", "js/main.js", "style/page.css"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    versions = set()
    for text in ("one", "two"):
        (tmp_path / "a.js").write_text(text)
        load_site.cache_clear()
        versions.add(load_site(tmp_path).version)
    assert len(versions) == 2


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_import_leads_to_a_file(script: Path) -> None:
    imports = [address for address in ADDRESS.findall(script.read_text("utf-8")) if address.endswith(".js")]
    assert not [address for address in imports if not (script.parent / address).resolve().is_file()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_is_needed_at_first_imports_later_modules_on_demand_only(script: Path) -> None:
    at_once = re.findall(r'^import .* from "([^"]+)"', script.read_text("utf-8"), flags=re.MULTILINE)
    assert "later" in script.parts or not [address for address in at_once if "/later/" in address]


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    there = set(re.findall(r'id="([^"]+)"', (FRONTEND / "icons.svg").read_text("utf-8")))
    wanted = re.compile(r'(?:<\$\{Icon\} name=|\bicon(?:=|: ))"([\w-]+)"')
    named = {name for script in SCRIPTS for name in wanted.findall(script.read_text("utf-8"))}
    assert len(named) > 20
    assert named <= there


def test_every_file_of_the_page_has_a_type() -> None:
    not_served = {".ts", ".json", ".webp"}
    assert {path.suffix for path in FRONTEND.rglob("*") if path.is_file()} <= {*TYPES, *not_served}
