"""Every command against the running server. They find it by the data directory alone."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import av
import pytest
from PIL import Image

from tests.serving import ENDLESS, PROMPT, SHORT, Api

pytestmark = pytest.mark.acceptance

CLIP = ("--frames", "9", "--steps", "2", "--seed", "7")


def saved(output: str) -> Path:
    (line,) = output.splitlines()
    return Path(line)


def frames(file: Path) -> int:
    with av.open(BytesIO(file.read_bytes())) as container:
        return sum(1 for _ in container.decode(video=0))


def test_generate_saves_a_picture(server, tmp_path):
    done = server.run("generate", PROMPT, "--seed", "3", "--width", "96", "--out", str(tmp_path))
    file = saved(done.stdout)
    assert file.parent == tmp_path
    assert file.name.endswith("-demo-flux-3.png")
    with Image.open(file) as picture:
        assert picture.size == (96, 128)


def test_generate_makes_several_and_tells_programs_in_json(server, tmp_path):
    done = server.run("generate", PROMPT, "-n", "2", "--steps", "2", "--json", "--out", str(tmp_path))
    told = json.loads(done.stdout)
    assert told["status"] == "completed"
    assert sorted(told["files"]) == sorted(str(file) for file in tmp_path.iterdir())
    assert len(told["files"]) == 2


def test_t2v_saves_a_clip(server, tmp_path):
    file = saved(server.run("t2v", PROMPT, *CLIP, "--out", str(tmp_path)).stdout)
    assert (file.suffix, frames(file)) == (".mp4", 9)


def test_i2v_animates_a_file_and_a_picture_of_the_server(server, made, tmp_path):
    picture = tmp_path / "own.png"
    Image.new("RGB", (80, 80), (220, 40, 40)).save(picture)
    for source in (str(picture), made["flux"]["image_ids"][0]):
        file = saved(server.run("i2v", source, PROMPT, *CLIP, "--out", str(tmp_path)).stdout)
        assert (file.suffix, frames(file)) == (".mp4", 9)


def test_jobs_lists_and_cancel_ends(server, api: Api):
    running = api.paint(**ENDLESS)
    api.painting(running)
    waiting = server.run("generate", PROMPT, "--no-wait").stdout.strip()
    listed = {job["id"]: job["status"] for job in json.loads(server.run("jobs", "--json").stdout)}
    assert (listed[running], listed[waiting]) == ("processing", "pending")
    server.run("cancel", waiting, running)
    assert [api.end(job)["status"] for job in (running, waiting)] == ["cancelled", "cancelled"]
    server.run("cancel", running, code=1)
    assert running in server.run("jobs", "--status", "cancelled").stdout


def test_models_lists_them_all(server, api: Api):
    api.completed(api.paint(**SHORT))
    models = {model["name"]: model for model in json.loads(server.run("models", "--json").stdout)}
    assert set(models) == set(api.get("/api/models")["models"])
    assert models["demo-flux"]["loaded"] is True
    assert {model["licence"] for model in models.values()} == {"Apache-2.0"}


def test_status_tells_of_the_server(server):
    told = server.run("status").stdout
    assert f"{server.url} is healthy" in told
    assert "Flux" in told


def test_doctor_finds_that_this_machine_can_serve(server):
    assert "demo-flux" in server.run("doctor").stdout


def test_pulling_a_demo_has_nothing_to_do(server):
    assert server.run("pull", "demo-flux").stdout == "demo-flux is here already\n"


def test_a_refusal_of_the_server_is_told_plainly(server):
    done = server.run("generate", PROMPT, "--width", "99", code=1)
    assert "96" in done.stderr
    assert "Traceback" not in done.stderr
