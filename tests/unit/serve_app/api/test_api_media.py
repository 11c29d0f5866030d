from __future__ import annotations

import zipfile
from io import BytesIO

import httpx
import pytest
from in_process import Workshop, clip, picture
from PIL import Image

from storage.media import MediaId


@pytest.fixture
async def client(idle: httpx.AsyncClient) -> httpx.AsyncClient:
    return idle


def decoded(reply: httpx.Response) -> Image.Image:
    return Image.open(BytesIO(reply.content))


@pytest.mark.parametrize("route", ["image", "get_image"])
async def test_a_picture_comes_with_its_type_a_tag_and_leave_to_be_kept(
    client: httpx.AsyncClient, workshop: Workshop, route: str
) -> None:
    media = workshop.add_media()
    reply = await client.get(f"/api/{route}/{media.id}")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
    assert reply.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert decoded(reply).size == (64, 64)


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
@pytest.mark.parametrize("suffix", ["", "/thumbnail"])
async def test_a_picture_that_the_client_has_is_not_sent_again(
    client: httpx.AsyncClient, workshop: Workshop, form: str, suffix: str
) -> None:
    url = f"/api/image/{workshop.add_media().id}{suffix}"
    tag = (await client.get(url)).headers["etag"]
    reply = await client.get(url, headers={"If-None-Match": form.format(tag)})
    assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", tag)
    assert (await client.get(url, headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.parametrize("route", ["video", "get_video"])
async def test_a_clip_comes_whole_or_in_parts(
    client: httpx.AsyncClient, workshop: Workshop, route: str
) -> None:
    data = clip(bytes(range(24, 100)))
    media = workshop.add_media(data, media_type="video")
    whole = await client.get(f"/api/{route}/{media.id}")
    assert (whole.status_code, whole.headers["content-type"], len(whole.content)) == (200, "video/mp4", 100)
    assert whole.headers["accept-ranges"] == "bytes"
    part = await client.get(f"/api/{route}/{media.id}", headers={"Range": "bytes=10-39"})
    assert (part.status_code, part.headers["content-range"]) == (206, "bytes 10-39/100")
    assert part.content == data[10:40]
    tail = await client.get(f"/api/{route}/{media.id}", headers={"Range": "bytes=-5"})
    assert tail.content == bytes(range(95, 100))
    beyond = await client.get(f"/api/{route}/{media.id}", headers={"Range": "bytes=200-"})
    assert beyond.status_code == 416


async def test_the_wrong_kind_is_refused(client: httpx.AsyncClient, workshop: Workshop) -> None:
    image, video = workshop.add_media(), workshop.add_media(media_type="video")
    for url, message in [
        (f"/api/image/{video.id}", "Requested resource is not an image file"),
        (f"/api/get_video/{image.id}", "Requested resource is not a video file"),
    ]:
        reply = await client.get(url)
        assert (reply.status_code, reply.json()["message"]) == (400, message)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("/api/image/nope", "Image not found: nope"),
        ("/api/get_video/nope", "Video not found: nope"),
        ("/api/image/nope/thumbnail", "Media not found: nope"),
        ("/api/image/nope/metadata", "Media not found: nope"),
        (
            "/api/image/..%2F..%2Fetc%2Fpasswd",
            "There is no GET /api/image/../../etc/passwd here; /docs lists what there is",
        ),
    ],
)
async def test_what_is_unknown_is_not_found(client: httpx.AsyncClient, url: str, message: str) -> None:
    reply = await client.get(url)
    assert (reply.status_code, reply.json()["message"]) == (404, message)


@pytest.mark.parametrize("suffix", ["", "/thumbnail"])
async def test_a_row_whose_file_is_gone_is_not_found(
    client: httpx.AsyncClient, workshop: Workshop, suffix: str
) -> None:
    media = workshop.add_media()
    workshop.files.delete(media.file_path)
    reply = await client.get(f"/api/image/{media.id}{suffix}")
    assert (reply.status_code, reply.json()["status"]) == (404, "error")


async def test_a_thumbnail_is_small_webp(client: httpx.AsyncClient, workshop: Workshop) -> None:
    media = workshop.add_media(picture(1024, 512))
    reply = await client.get(f"/api/image/{media.id}/thumbnail")
    assert reply.headers["content-type"] == "image/webp"
    assert decoded(reply).size == (512, 256)


async def test_metadata_is_how_it_was_made(client: httpx.AsyncClient, workshop: Workshop) -> None:
    reply = await client.get(f"/api/image/{workshop.add_media().id}/metadata")
    assert reply.json() == {"model_id": "paint", "prompt": "a red fox", "seed": 7}


@pytest.mark.parametrize(("kind", "word"), [("image", "Image"), ("video", "Video")])
async def test_what_is_deleted_is_gone_with_its_files(
    client: httpx.AsyncClient, workshop: Workshop, kind: str, word: str
) -> None:
    media = workshop.add_media(media_type=kind)
    workshop.files.write_thumbnail(media.file_path, b"webp")
    reply = await client.delete(f"/api/image/{media.id}")
    assert reply.json() == {"status": "success", "message": f"{word} deleted successfully"}
    assert (await client.get(f"/api/{kind}/{media.id}")).status_code == 404
    assert (await client.delete(f"/api/image/{media.id}")).status_code == 404
    assert workshop.media_files() == []


# -- uploads


async def send(client: httpx.AsyncClient, data: bytes, name: str = "picture.png") -> httpx.Response:
    return await client.post("/api/upload", files={"file": (name, data)})


async def test_an_uploaded_picture_is_upright_and_can_be_fetched(client: httpx.AsyncClient) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    reply = await send(client, picture(40, 20, "JPEG", exif=exif), "me.txt")
    body = reply.json()
    assert (reply.status_code, body["width"], body["height"]) == (201, 20, 40)
    fetched = decoded(await client.get(body["url"]))
    assert (fetched.format, fetched.size, len(fetched.getexif())) == ("PNG", (20, 40), 0)


async def test_an_upload_is_no_part_of_the_gallery(client: httpx.AsyncClient) -> None:
    await send(client, picture(8, 8))
    assert (await client.get("/api/gallery")).json()["total"] == 0


@pytest.mark.parametrize("data", [b"plain text", b"", picture(32, 32)[:60], picture(8, 8, "GIF")])
async def test_what_is_no_picture_is_refused(
    client: httpx.AsyncClient, workshop: Workshop, data: bytes
) -> None:
    reply = await send(client, data)
    assert reply.status_code == 400
    assert reply.json()["message"].startswith("The upload is not a picture that can be read.")
    assert workshop.media_files() == []


async def test_an_upload_without_a_file_is_refused(client: httpx.AsyncClient) -> None:
    for reply in [
        await client.post("/api/upload"),
        await client.post("/api/upload", files={"picture": ("x.png", picture(8, 8))}),
        await client.post("/api/upload", json={"file": "x"}),
        await client.post("/api/upload", data={"file": "text"}),
    ]:
        assert reply.status_code == 400, reply.text
        assert "file" in reply.json()["message"] or reply.json()["message"] == "No data provided"


@pytest.mark.parametrize("extra", [1, 10_000_000])
async def test_an_upload_of_too_many_bytes_is_too_large(workshop: Workshop, extra: int) -> None:
    async with workshop.serving(dispatching=False, max_upload_mb=0.01) as client:
        reply = await send(client, bytes(10_000 + extra))
    assert reply.status_code == 413
    assert "at most" in reply.json()["message"]
    assert workshop.media_files() == []


async def test_a_picture_of_too_many_pixels_is_too_large(workshop: Workshop) -> None:
    async with workshop.serving(dispatching=False, max_upload_pixels=1000) as client:
        reply = await send(client, picture(40, 40))
    assert (reply.status_code, reply.json()["message"]) == (
        413,
        "The picture is 40x40; at most 1000 pixels are accepted.",
    )
    assert workshop.media_files() == []


# -- the gallery


@pytest.fixture
def gallery(workshop: Workshop) -> list[str]:
    """Ids of five pictures and a clip of jobs, newest first."""
    made = []
    for number, prompt in enumerate(["a fox", "a red fox", "a red car", "100% wool", "snow"]):
        metadata = {"model_id": "paint", "prompt": prompt, "seed": 100 + number}
        made.append(workshop.add_media(job_id=f"job-{number}", metadata=metadata).id)
    metadata = {"model_id": "clip", "prompt": "a fox runs", "seed": 7}
    made.append(workshop.add_media(job_id="job-9", media_type="video", metadata=metadata).id)
    return made[::-1]


async def found(client: httpx.AsyncClient, **query: object) -> list[str]:
    reply = await client.get("/api/gallery", params={k: str(v) for k, v in query.items()})
    assert reply.status_code == 200, reply.text
    return [image["id"] for image in reply.json()["images"]]


async def test_the_gallery_shows_the_newest_first(client: httpx.AsyncClient, gallery: list[str]) -> None:
    body = (await client.get("/api/gallery")).json()
    assert [image["id"] for image in body["images"]] == gallery
    assert (body["page"], body["limit"], body["has_more"], body["total"]) == (1, 20, False, 6)
    clip = body["images"][0]
    assert (clip["media_type"], clip["model_id"], clip["prompt"]) == ("video", "clip", "a fox runs")
    assert clip["url"] == f"/api/video/{gallery[0]}"
    assert clip["thumbnail_url"] == f"/api/image/{gallery[0]}/thumbnail"
    assert clip.keys() >= {"file_path", "created_at", "settings", "favorite"}


async def test_the_gallery_is_read_by_page_or_by_cursor(
    client: httpx.AsyncClient, gallery: list[str]
) -> None:
    assert await found(client, limit=4) + await found(client, limit=4, page=2) == gallery
    first = (await client.get("/api/gallery?limit=4")).json()
    assert first["has_more"]
    assert await found(client, limit=4, cursor=first["next_cursor"]) == gallery[4:]
    assert await found(client, page=9) == []


async def test_the_gallery_is_searched_by_words_model_seed_type(
    client: httpx.AsyncClient, gallery: list[str]
) -> None:
    clip, snow, wool, car, red_fox, fox = gallery
    assert await found(client, search="RED fox") == [red_fox]
    assert await found(client, search="fox") == [clip, red_fox, fox]
    assert await found(client, search="102") == [car]
    assert await found(client, search="100%") == [wool]
    assert await found(client, search="clip") == [clip]
    assert await found(client, model="paint", search="snow") == [snow]
    assert await found(client, type="video") == [clip]


async def test_favourites_are_set_listed_and_unset(client: httpx.AsyncClient, gallery: list[str]) -> None:
    reply = await client.post(f"/api/favorite/{gallery[1]}")
    assert reply.json() == {"status": "success", "id": gallery[1], "favorite": True}
    assert await found(client, favorite="true") == [gallery[1]]
    assert (await client.get("/api/gallery")).json()["images"][1]["favorite"] is True
    await client.delete(f"/api/favorite/{gallery[1]}")
    assert await found(client, favorite="true") == []
    for reply in (await client.post("/api/favorite/nope"), await client.delete("/api/favorite/nope")):
        assert reply.status_code == 404


async def test_more_than_fifty_are_not_given_at_once(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/gallery?limit=1000")).json()["limit"] == 50


@pytest.mark.parametrize(
    "query", ["page=0", "limit=0", "cursor=x", "type=audio", "favorite=perhaps", "page=x"]
)
async def test_an_impossible_page_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/api/gallery?{query}")).status_code == 400


# -- zip


async def test_a_zip_holds_each_file_once(client: httpx.AsyncClient, workshop: Workshop) -> None:
    image, video = workshop.add_media(), workshop.add_media(clip(), media_type="video")
    reply = await client.post("/api/batch_download", json={"ids": [image.id, video.id, image.id]})
    assert reply.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(BytesIO(reply.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{image.id}.png", f"{video.id}.mp4"]
        assert archive.read(f"{video.id}.mp4") == clip()


async def test_a_zip_of_what_is_missing_is_refused(client: httpx.AsyncClient, workshop: Workshop) -> None:
    fileless = workshop.add_media()
    workshop.files.delete(fileless.file_path)
    for ids, status in [(["nope"], 404), ([fileless.id], 404), ([], 400), ("x", 400), ([7], 400)]:
        reply = await client.post("/api/batch_download", json={"ids": ids})
        assert (reply.status_code, reply.json()["status"]) == (status, "error")


@pytest.mark.parametrize("kind", ["image", "video"])
async def test_a_damaged_file_is_reported_wherever_it_is_asked_for(
    client: httpx.AsyncClient, workshop: Workshop, kind: str
) -> None:
    media = workshop.add_media(media_type=kind)
    path = workshop.files.path(media.file_path)
    path.write_bytes(path.read_bytes()[:40])
    replies = [
        await client.get(f"/api/{kind}/{media.id}"),
        await client.get(f"/api/{kind}/{media.id}/thumbnail"),
        await client.post("/api/batch_download", json={"ids": [media.id]}),
    ]
    assert [(reply.status_code, reply.json()["code"]) for reply in replies] == [(404, "media_unreadable")] * 3
    assert (await client.delete(f"/api/image/{media.id}")).status_code == 200


# -- the gallery as a whole


async def test_the_gallery_is_filtered_by_when_media_were_made(
    client: httpx.AsyncClient, gallery: list[str], workshop: Workshop
) -> None:
    media = [workshop.stores.media.get(MediaId(media_id)) for media_id in gallery]
    moments = [each.created_at.isoformat() for each in media if each is not None]
    assert await found(client, since=moments[2]) == gallery[:3]
    assert await found(client, until=moments[2]) == gallery[3:]
    assert await found(client, since=moments[4], until=moments[2]) == gallery[3:5]
    assert await found(client, since=moments[2].replace("+00:00", "")) == gallery[:3]


@pytest.mark.parametrize(
    "moment", ["yesterday", "", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
)
async def test_an_impossible_time_is_refused(client: httpx.AsyncClient, moment: str) -> None:
    assert (await client.get("/api/gallery", params={"since": moment})).status_code == 400


async def test_the_ids_of_all_matches_are_told_at_once(client: httpx.AsyncClient, gallery: list[str]) -> None:
    assert (await client.get("/api/gallery/ids")).json() == {"ids": gallery}
    await client.post(f"/api/favorite/{gallery[0]}")
    others = (await client.get("/api/gallery/ids?search=fox&favorite=false")).json()["ids"]
    assert others == [gallery[4], gallery[5]]


async def test_several_media_and_their_files_are_deleted_at_once(
    client: httpx.AsyncClient, gallery: list[str], workshop: Workshop
) -> None:
    files = len(workshop.media_files())
    body = {"ids": [gallery[0], gallery[3], gallery[3], "gone already"]}
    reply = await client.post("/api/batch_delete", json=body)
    assert reply.json() == {"status": "success", "deleted": 2, "message": "Deleted 2 file(s)"}
    assert await found(client) == [gallery[1], gallery[2], gallery[4], gallery[5]]
    assert len(workshop.media_files()) == files - 2
    assert (await client.post("/api/batch_delete", json={"ids": []})).status_code == 400
