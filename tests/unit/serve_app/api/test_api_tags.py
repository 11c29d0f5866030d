from __future__ import annotations

from typing import Any

import httpx
import pytest
from in_process import Workshop

TOO_LONG = "x" * 41


@pytest.fixture
async def client(idle: httpx.AsyncClient) -> httpx.AsyncClient:
    return idle


@pytest.fixture
def gallery(workshop: Workshop) -> list[str]:
    """Ids of four pictures, newest first."""
    return [workshop.add_media(job_id=f"job-{number}").id for number in range(4)][::-1]


async def tag(client: httpx.AsyncClient, media_id: str, *names: str) -> httpx.Response:
    return await client.put(f"/api/media/{media_id}/tags", json={"tags": names})


async def found(client: httpx.AsyncClient, *names: str, **query: Any) -> list[str]:
    reply = await client.get("/api/gallery", params=query | {"tag": names})
    assert reply.status_code == 200, reply.text
    return [image["id"] for image in reply.json()["images"]]


async def test_tags_are_set_shown_and_replaced(client: httpx.AsyncClient, gallery: list[str]) -> None:
    reply = await tag(client, gallery[1], "  Long \t exposure", "sea", "E\u0301lan", "SEA")
    names = ["Long exposure", "sea", "Élan"]
    assert reply.json() == {"status": "success", "id": gallery[1], "tags": names}
    images = (await client.get("/api/gallery")).json()["images"]
    assert [image["tags"] for image in images] == [[], names, [], []]
    await tag(client, gallery[1], "dusk")
    reply = await client.get(f"/api/media/{gallery[1]}/tags")
    assert reply.json() == {"id": gallery[1], "tags": ["dusk"]}
    assert (await tag(client, gallery[1])).json()["tags"] == []


async def test_the_gallery_shows_what_has_all_the_tags(client: httpx.AsyncClient, gallery: list[str]) -> None:
    for media_id, *names in [(gallery[0], "sea"), (gallery[1], "Sea", "dusk"), (gallery[3], "dusk", "sea")]:
        await tag(client, media_id, *names)
    assert await found(client, "sea") == [gallery[0], gallery[1], gallery[3]]
    assert await found(client, " SEA ", "dusk") == [gallery[1], gallery[3]]
    assert await found(client, "sea", "calm") == []
    assert await found(client, "sea", search="fox", model="paint") == [gallery[0], gallery[1], gallery[3]]
    assert await found(client, "sea", favorite="true") == []
    ids = (await client.get("/api/gallery/ids?tag=sea&tag=dusk")).json()["ids"]
    assert ids == [gallery[1], gallery[3]]


async def test_tagged_media_are_read_by_cursor(client: httpx.AsyncClient, gallery: list[str]) -> None:
    for media_id in gallery[1:]:
        await tag(client, media_id, "sea")
    first = (await client.get("/api/gallery?tag=sea&limit=2")).json()
    assert (first["total"], first["has_more"]) == (3, True)
    assert await found(client, "sea", limit=2, cursor=first["next_cursor"]) == gallery[3:]


async def test_tags_in_use_are_listed_with_their_counts(
    client: httpx.AsyncClient, gallery: list[str]
) -> None:
    assert (await client.get("/api/tags")).json() == {"tags": []}
    for media_id, *names in [(gallery[0], "sea"), (gallery[1], "sea", "dusk"), (gallery[2], "Sea")]:
        await tag(client, media_id, *names)
    sea, dusk = {"name": "sea", "count": 3}, {"name": "dusk", "count": 1}
    assert (await client.get("/api/tags")).json() == {"tags": [sea, dusk]}
    assert (await client.get("/api/tags?limit=1")).json() == {"tags": [sea]}
    await client.delete(f"/api/image/{gallery[2]}")
    assert (await client.get("/api/tags")).json() == {"tags": [sea | {"count": 2}, dusk]}


async def test_several_are_tagged_at_once(client: httpx.AsyncClient, gallery: list[str]) -> None:
    await tag(client, gallery[0], "sea", "calm")
    body = {"ids": [gallery[0], gallery[2], gallery[2], "gone"], "add": ["dusk"], "remove": ["SEA"]}
    reply = await client.post("/api/batch_tag", json=body)
    assert reply.json() == {"status": "success", "tagged": 2, "message": "Tagged 2 file(s)"}
    assert await found(client, "dusk") == [gallery[0], gallery[2]]
    assert await found(client, "sea") == []
    assert await found(client, "calm") == [gallery[0]]


async def test_unknown_media_cannot_be_tagged(client: httpx.AsyncClient) -> None:
    for reply in (await tag(client, "nope", "sea"), await client.get("/api/media/nope/tags")):
        assert (reply.status_code, reply.json()["message"]) == (404, "Media not found: nope")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tags": [""]}, "tags.0 must have 1 to 40 characters"),
        ({"tags": ["sea", TOO_LONG]}, "tags.1 must have 1 to 40 characters"),
        ({"tags": ["a\u0007"]}, "tags.0 must not contain control characters"),
        ({"tags": ["a\u0000"]}, "tags.0 must not contain the NUL character"),
        ({"tags": ["\u200b"]}, "tags.0 must have a character that can be seen"),
        ({"tags": [7]}, "tags.0: Input should be a valid string"),
        ({"tags": "sea"}, "tags: Input should be a valid list"),
        ({"tags": [str(number) for number in range(33)]}, "tags: List should have at most 32 items"),
        ({"tag": ["sea"]}, "Missing required fields: tags"),
    ],
)
async def test_what_are_no_tags_is_refused(
    client: httpx.AsyncClient, gallery: list[str], body: dict[str, Any], message: str
) -> None:
    await tag(client, gallery[0], "before")
    reply = await client.put(f"/api/media/{gallery[0]}/tags", json=body)
    assert (reply.status_code, reply.json()["status"]) == (400, "error")
    assert reply.json()["message"].startswith(message)
    assert await found(client, "before") == [gallery[0]]


async def test_more_tags_than_a_medium_takes_are_refused(
    client: httpx.AsyncClient, gallery: list[str]
) -> None:
    await tag(client, gallery[0], *(str(number) for number in range(32)))
    reply = await client.post("/api/batch_tag", json={"ids": gallery, "add": ["sea"]})
    assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")
    assert "32 tags at most" in reply.json()["message"]
    assert await found(client, "sea") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "Say which tags to add or to remove"),
        ({"add": [], "remove": []}, "Say which tags to add or to remove"),
        ({"add": ["sea"], "remove": ["Sea"]}, "The tag 'sea' is both to be added and to be removed"),
        ({"add": [TOO_LONG]}, "add.0 must have 1 to 40 characters"),
        ({"add": ["sea"], "ids": []}, "ids: List should have at least 1 item"),
    ],
)
async def test_a_change_that_cannot_be_made_is_refused(
    client: httpx.AsyncClient, gallery: list[str], changes: dict[str, Any], message: str
) -> None:
    reply = await client.post("/api/batch_tag", json={"ids": gallery} | changes)
    assert reply.status_code == 400
    assert message in reply.json()["message"]
    assert (await client.get("/api/tags")).json() == {"tags": []}


@pytest.mark.parametrize("query", ["tag=", f"tag={TOO_LONG}", "tag=a%00", "tag=a&" * 33])
async def test_a_gallery_of_an_impossible_tag_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/api/gallery?{query}")).status_code == 400


async def test_a_page_of_another_origin_tags_nothing(client: httpx.AsyncClient, gallery: list[str]) -> None:
    foreign = {"Origin": "http://elsewhere.example"}
    path, body = f"/api/media/{gallery[0]}/tags", {"tags": ["sea"]}
    assert (await client.put(path, json=body, headers=foreign)).status_code == 403
    body = {"ids": gallery, "add": ["sea"]}
    assert (await client.post("/api/batch_tag", json=body, headers=foreign)).status_code == 403
    assert (await client.get("/api/tags")).json() == {"tags": []}
