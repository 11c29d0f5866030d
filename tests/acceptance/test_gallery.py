"""What was made can be found, fetched, packed and deleted."""

from __future__ import annotations

from io import BytesIO
from zipfile import ZipFile

import pytest
from PIL import Image

from tests.serving import SHORT, Api

pytestmark = pytest.mark.acceptance


def test_the_gallery_shows_what_was_made(api: Api, made):
    expected = {media_id for job in made.values() for media_id in job["image_ids"]}
    shown, cursor = {}, None
    while True:
        page = api.get("/api/gallery", limit=5, **({"cursor": cursor} if cursor else {}))
        shown |= {entry["id"]: entry for entry in page["images"]}
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert expected <= set(shown)
    assert page["total"] == len(shown)
    assert all(api.http.get(entry["url"]).is_success for entry in shown.values())


def test_the_gallery_is_searched_by_word_model_and_kind(api: Api, made):
    found = api.get("/api/gallery", search="circle BLUE", model="demo-wan-t2v", type="video")
    assert made["wan-t2v"]["image_ids"][0] in [entry["id"] for entry in found["images"]]
    assert {entry["model_id"] for entry in found["images"]} == {"demo-wan-t2v"}
    assert api.get("/api/gallery", search="circle nowhere")["total"] == 0


def test_a_picture_has_a_thumbnail(api: Api, made):
    reply = api.http.get(made["flux"]["images"][0]["thumbnail_url"])
    thumbnail = Image.open(BytesIO(reply.content))
    assert reply.headers["content-type"] == "image/webp"
    assert (thumbnail.format, thumbnail.size) == ("WEBP", (128, 128))


def test_a_zip_holds_the_chosen_files(api: Api, made):
    media = [made["flux"]["images"][0], made["wan-t2v"]["images"][0]]
    reply = api.http.post("/api/batch_download", json={"ids": [item["id"] for item in media]})
    archive = ZipFile(BytesIO(reply.content))
    assert archive.testzip() is None
    packed = {name: archive.read(name) for name in archive.namelist()}
    assert packed == {item["file_path"].rpartition("/")[2]: api.file(item) for item in media}


def test_a_deleted_picture_leaves_no_file(api: Api, server):
    before = server.files()
    (job,) = api.completed(api.paint(**SHORT))
    (image,) = job["images"]
    assert image["file_path"] in server.files() - before
    assert api.http.delete(f"/api/image/{image['id']}").json()["status"] == "success"
    assert server.files() == before
    assert api.http.get(image["url"]).status_code == 404


def test_a_favourite_is_marked_and_found(api: Api, made):
    (picture,) = made["sd35"]["image_ids"]
    api.post(f"/api/favorite/{picture}")
    assert [entry["id"] for entry in api.get("/api/gallery", favorite=True)["images"]] == [picture]
    assert api.http.delete(f"/api/favorite/{picture}").is_success
    assert api.get("/api/gallery", favorite=True)["total"] == 0


def test_tags_narrow_the_gallery_and_are_counted(api: Api, made):
    picture, clip = made["sd35"]["image_ids"][0], made["wan-t2v"]["image_ids"][0]
    assert api.http.put(f"/api/media/{picture}/tags", json={"tags": ["still"]}).is_success
    api.post("/api/batch_tag", {"ids": [picture, clip], "add": ["Demo day"]})
    both = api.get("/api/gallery", tag="demo day")["images"]
    assert {entry["id"] for entry in both} == {picture, clip}
    (entry,) = api.get("/api/gallery", tag=["still", "demo day"])["images"]
    assert (entry["id"], entry["tags"]) == (picture, ["Demo day", "still"])
    assert api.get("/api/tags")["tags"] == [{"name": "Demo day", "count": 2}, {"name": "still", "count": 1}]
    api.post("/api/batch_tag", {"ids": [picture, clip], "remove": ["still", "demo day"]})
    assert api.get("/api/tags")["tags"] == []
