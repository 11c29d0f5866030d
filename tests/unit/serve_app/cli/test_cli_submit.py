from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fake_control import INFO, FakeControl
from fake_server import MP4, PNG, FakeServer, done, generating, image, job
from rich.console import Console


def test_generate_saves_the_picture_and_prints_its_path(run, server: FakeServer, tmp_path: Path) -> None:
    result = run("generate", "a red circle", "--out", "pictures")
    assert result.exit_code == 0
    assert result.stdout == "pictures/2026-01-15-demo-flux-7.png\n"
    assert (tmp_path / "pictures/2026-01-15-demo-flux-7.png").read_bytes() == PNG


def test_generate_sends_only_what_was_asked_for(run, server: FakeServer) -> None:
    run("generate", "a red circle")
    run(
        "generate",
        "x",
        "-m",
        "other",
        "--negative",
        "y",
        "--width",
        "64",
        "--steps",
        "4",
        "--seed",
        "3",
        "-n",
        "2",
    )
    assert server.sent("POST", "/api/generate") == [
        {"model_id": "demo-flux", "prompt": "a red circle", "settings": {}},
        {
            "model_id": "other",
            "prompt": "x",
            "negative_prompt": "y",
            "settings": {"width": 64, "num_inference_steps": 4, "seed": 3, "num_images": 2},
        },
    ]


@pytest.mark.parametrize(
    ("command", "route"),
    [
        (["generate"], "/api/generate"),
        (["t2v"], "/api/generate_t2v"),
        (["i2v", "0a1b"], "/api/generate_video"),
    ],
)
def test_a_priority_is_sent_along(run, server: FakeServer, command: list[str], route: str) -> None:
    assert run(*command, "a red circle", "--priority", "-1", "--no-wait").exit_code == 0
    (body,) = server.sent("POST", route)
    assert body["priority"] == -1


def test_t2v_takes_the_first_model_of_its_type_and_saves_a_clip(
    run, server: FakeServer, tmp_path: Path
) -> None:
    server.script = [done(image("m1", seed=5, media_type="video"), model_id="demo-wan-t2v")]
    result = run("t2v", "a red circle", "--frames", "9", "--fps", "8")
    assert result.stdout == "2026-01-15-demo-wan-t2v-5.mp4\n"
    assert (tmp_path / "2026-01-15-demo-wan-t2v-5.mp4").read_bytes() == MP4
    body = {"model_id": "demo-wan-t2v", "prompt": "a red circle", "settings": {"num_frames": 9, "fps": 8}}
    assert server.sent("POST", "/api/generate_t2v") == [body]


def test_i2v_uploads_a_file_and_prefers_an_available_model(run, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(PNG)
    assert run("i2v", "cat.png", "it moves").exit_code == 0
    (body,) = server.sent("POST", "/api/generate_video")
    assert body["source_image_id"] == "up1"
    assert body["video_model_id"] == "demo-wan-i2v"
    assert body["video_prompt"] == "it moves"
    (upload,) = (r for r in server.requests if r.url.path == "/api/upload")
    assert PNG in upload.content


def test_i2v_takes_a_media_id_as_it_is(run, server: FakeServer) -> None:
    assert run("i2v", "m9", "it moves").exit_code == 0
    assert server.sent("POST", "/api/generate_video")[0]["source_image_id"] == "m9"


def test_i2v_says_when_the_picture_does_not_exist(run, server: FakeServer) -> None:
    result = run("i2v", "no/such.png", "it moves")
    assert result.exit_code == 1
    assert "there is no picture no/such.png" in result.stderr
    assert not server.sent("POST", "/api/generate_video")


def test_the_phases_are_shown_as_lines_where_there_is_no_terminal(run, server: FakeServer) -> None:
    loading = job("processing", message="Loading demo-flux", progress={"loading_model": True})
    server.script = [
        job("pending", queue_position=3, eta_seconds=65),
        job("pending", queue_position=2, eta_seconds=9),
        loading,
        generating(0, 12),
        generating(7, 12),
        done(image("m1", seed=7)),
    ]
    result = run("generate", "a red circle")
    assert result.stderr.splitlines() == [
        "waiting, number 3 in the queue, about 1 min 5 s to go",
        "waiting, number 2 in the queue, about 9 s to go",
        "Loading demo-flux",
        "generating, 12 steps",
    ]


def test_a_live_bar_is_drawn_on_a_terminal(run, server: FakeServer) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, _environ={})
    server.script = [job("pending", queue_position=1), generating(7, 12), done(image("m1", seed=7))]
    assert run("generate", "a red circle", err=screen).exit_code == 0
    assert isinstance(screen.file, io.StringIO)
    assert "7/12" in screen.file.getvalue()


def test_the_job_is_awaited_by_long_polls(run, server: FakeServer) -> None:
    server.script = [job("pending"), generating(1, 2), done(image("m1", seed=7))]
    run("generate", "a red circle")
    polls = [r.url.query for r in server.requests if r.url.path == "/api/status/j1"]
    assert polls == [b"", b"wait=20", b"wait=20"]


def test_a_failed_job_exits_1_with_its_message_and_hint(run, server: FakeServer) -> None:
    error = {"code": "licence_required", "message": "flux-1-dev is gated.", "hint": "Set HF_TOKEN."}
    server.script = [job("processing"), job("failed", error=error)]
    result = run("generate", "a red circle")
    assert result.exit_code == 1
    assert result.stderr.endswith("error: flux-1-dev is gated.\nhint: Set HF_TOKEN.\n")
    assert result.stdout == ""


def test_a_job_cancelled_by_another_exits_1(run, server: FakeServer) -> None:
    server.script = [job("cancelled")]
    result = run("generate", "a red circle")
    assert result.exit_code == 1
    assert "job j1 was cancelled" in result.stderr


def test_ctrl_c_cancels_the_job_and_says_so(run, server: FakeServer) -> None:
    server.script = [generating(1, 12), KeyboardInterrupt()]
    result = run("generate", "a red circle")
    assert result.exit_code == 130
    assert "the server was asked to cancel job j1" in result.stderr
    assert server.sent("POST", "/api/jobs/j1/cancel") == [None]


def test_ctrl_c_says_so_when_the_job_cannot_be_cancelled(run, server: FakeServer) -> None:
    server.script = [KeyboardInterrupt()]
    server.overrides["/api/jobs/j1/cancel"] = (409, {"message": "job j1 has ended"})
    result = run("generate", "a red circle")
    assert result.exit_code == 130
    assert "could not be cancelled: job j1 has ended" in result.stderr


def test_a_lost_connection_while_waiting_is_waited_out(run, server: FakeServer) -> None:
    server.script = [
        generating(1, 2),
        httpx.ReadError("gone"),
        httpx.ConnectError("down"),
        done(image("m1", seed=7)),
    ]
    assert run("generate", "a red circle").exit_code == 0


def test_what_ray_says_for_a_process_that_has_died_is_waited_out(run, server: FakeServer) -> None:
    server.script = [
        generating(1, 2),
        httpx.Response(500, text="Internal Server Error"),
        httpx.Response(404, text="Path '/api/status/j1' not found. Ping http://.../-/routes for routes."),
        done(image("m1", seed=7)),
    ]
    assert run("generate", "a red circle").exit_code == 0


def test_a_refusal_is_not_waited_out(run, server: FakeServer) -> None:
    refusal = {"status": "error", "message": "the database is locked", "code": "database_unavailable"}
    server.script = [httpx.Response(503, json=refusal)]
    result = run("generate", "a red circle")
    assert (result.exit_code, "the database is locked" in result.stderr) == (1, True)


def test_a_server_that_stays_away_ends_the_wait(run, server: FakeServer) -> None:
    server.script = [generating(1, 2), httpx.ConnectError("down")]
    result = run("generate", "a red circle")
    assert result.exit_code == 1
    assert "no server at" in result.stderr


def test_a_submit_whose_reply_is_lost_is_sent_again_as_the_same_job(run, server: FakeServer) -> None:
    server.submit_errors = [httpx.ReadError("gone")]
    assert run("generate", "a red circle").exit_code == 0
    keys = {r.headers["idempotency-key"] for r in server.requests if r.url.path == "/api/generate"}
    assert len(server.sent("POST", "/api/generate")) == 2
    assert len(keys) == 1


def test_nobody_listening_is_said_with_what_to_do(run, unused_url: str) -> None:
    result = run("generate", "a red circle", "--url", unused_url, transport=None)
    assert result.exit_code == 1
    assert result.stderr == f"error: no server at {unused_url}\nhint: start one with `cyberimage up`\n"


def test_a_stranger_at_the_address_is_recognized(run) -> None:
    page = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>hello</html>"))
    result = run("generate", "a red circle", transport=page)
    assert result.exit_code == 1
    assert "is not a CyberImage server" in result.stderr


def test_an_address_that_is_none_is_refused(run) -> None:
    result = run("generate", "a red circle", "--url", "localhost:7860", transport=None)
    assert result.exit_code == 1
    assert "--url http://HOST:PORT" in result.stderr


def test_a_refused_request_shows_the_servers_reason(run, server: FakeServer) -> None:
    server.overrides["/api/generate"] = (400, {"status": "error", "message": "width must be a multiple of 8"})
    result = run("generate", "a red circle", "--width", "65")
    assert result.exit_code == 1
    assert "error: width must be a multiple of 8" in result.stderr


def test_the_api_key_is_sent_and_its_absence_explained(run, server: FakeServer) -> None:
    server.api_key = "secret"
    assert run("generate", "a red circle", "--api-key", "secret").exit_code == 0
    result = run("generate", "a red circle")
    assert result.exit_code == 1
    assert "CYBERIMAGE_API_KEY" in result.stderr


def test_the_keys_of_this_machines_settings_go_to_its_own_server_only(
    run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYBERIMAGE_API_KEYS", "secret,other")
    run("jobs")
    run("jobs", "--url", "http://stranger.example")
    own, foreign = server.requests
    assert own.headers["authorization"] == "Bearer secret"
    assert "authorization" not in foreign.headers


def test_no_wait_prints_the_id_and_leaves(run, server: FakeServer) -> None:
    assert run("generate", "a red circle", "--no-wait").stdout == "j1\n"
    assert json.loads(run("generate", "a red circle", "--no-wait", "--json").stdout)["job_id"] == "j1"


def test_json_prints_the_job_with_its_files_and_nothing_else(run, server: FakeServer) -> None:
    server.script = [generating(1, 2), done(image("m1", seed=7), prompt="[red] :smile: \u2603")]
    result = run("generate", "a red circle", "--json")
    printed = json.loads(result.stdout)
    assert printed["files"] == ["2026-01-15-demo-flux-7.png"]
    assert printed["prompt"] == "[red] :smile: \u2603"
    assert result.stderr == ""


def test_the_address_is_that_of_the_server_on_the_data_directory(run, server: FakeServer) -> None:
    control = FakeControl(running=replace(INFO, url="http://127.0.0.1:9999"))
    run("generate", "a red circle", server=lambda: control)
    assert {r.url.port for r in server.requests} == {9999}


def test_a_guidance_that_is_no_number_is_refused(run, server: FakeServer) -> None:
    assert run("generate", "a red circle", "--guidance", "nan").exit_code == 2
    assert not server.requests


@pytest.mark.parametrize("command", ["generate", "t2v"])
def test_a_prompt_is_required(run, command: str) -> None:
    assert run(command).exit_code == 2
