from __future__ import annotations

import io
import json

import pytest
from fake_server import FakeServer, job
from rich.console import Console


def jobs(count: int, status: str = "pending") -> list[dict[str, object]]:
    return [job(status, id=f"{status}-{number}") for number in range(count)]


def test_jobs_are_listed_newest_first_with_their_whole_ids(run, server: FakeServer) -> None:
    name = "0" * 36
    long = "a very long prompt [red] " * 20
    server.listed = [
        job("processing", id=name, prompt=long, progress={"percent": 41.7}),
        job("failed", id="j0"),
    ]
    lines = run("jobs").stdout.splitlines()
    assert lines[0].split() == ["ID", "STATUS", "MODEL", "CREATED", "PROMPT"]
    assert lines[1].startswith(name)
    assert "processing 42%" in lines[1]
    assert long.strip() in lines[1]
    assert lines[2].startswith("j0")


def test_a_table_fits_a_terminal_by_shortening_the_prompt(run, server: FakeServer) -> None:
    server.listed = [job("failed", id="0" * 36, prompt="a very long prompt " * 20)]
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, highlight=False)
    run("jobs", out=screen)
    assert isinstance(screen.file, io.StringIO)
    lines = screen.file.getvalue().splitlines()
    assert len(lines) == 2
    assert "0" * 36 in lines[1]
    assert "…" in lines[1]


def test_a_prompt_commands_no_terminal_and_turns_no_text_around(run, server: FakeServer) -> None:
    family = "\U0001f468\u200d\U0001f469"
    prompt = f"\x1b]0;owned\x07\x1b[2Jred\x9b31m \u202efdp.exe\u2066 {family}\x7f\r\nnext"
    server.listed = [job("failed", id="j0", prompt=prompt)]
    line = run("jobs").stdout.splitlines()[1]
    assert line.endswith(f"]0;owned[2Jred31m fdp.exe {family} next")


def test_jobs_follow_the_cursor_up_to_the_limit(run, server: FakeServer) -> None:
    server.listed = jobs(130)
    assert len(json.loads(run("jobs", "--limit", "120", "--json").stdout)) == 120
    assert len(json.loads(run("jobs", "--limit", "500", "--json").stdout)) == 130


def test_jobs_are_filtered_by_the_server(run, server: FakeServer) -> None:
    run("jobs", "--status", "failed", "--model", "demo-flux")
    assert server.requests[0].url.params["status"] == "failed"
    assert server.requests[0].url.params["model"] == "demo-flux"


def test_no_jobs_is_said_but_not_in_json(run) -> None:
    assert run("jobs").stderr == "no jobs\n"
    assert json.loads(run("jobs", "--json").stdout) == []


def test_cancel_ends_the_named_jobs(run, server: FakeServer) -> None:
    result = run("cancel", "j1", "j2")
    assert result.stdout == "j1: Cancelled\nj2: Cancelled\n"
    assert result.exit_code == 0


def test_a_job_that_has_ended_is_named_and_the_others_are_cancelled(run, server: FakeServer) -> None:
    server.overrides["/api/jobs/j1/cancel"] = (409, {"message": "the job has ended"})
    result = run("cancel", "j1", "j2")
    assert result.exit_code == 1
    assert result.stdout == "j2: Cancelled\n"
    assert "j1: the job has ended" in result.stderr


def test_cancel_all_empties_the_queue_and_then_ends_what_runs(run, server: FakeServer) -> None:
    server.listed = [*jobs(3), *jobs(2, "processing")]
    result = run("cancel", "--all")
    assert result.stdout.splitlines()[1:] == ["processing-0: Cancelled", "processing-1: Cancelled"]
    posts = [r.url.path for r in server.requests if r.method == "POST"]
    assert posts[0] == "/api/queue/clear"


@pytest.mark.parametrize("arguments", [[], ["j1", "--all"]])
def test_cancel_wants_either_ids_or_all(run, server: FakeServer, arguments: list[str]) -> None:
    assert run("cancel", *arguments).exit_code == 1
    assert not server.requests


def test_models_join_what_the_server_says_with_the_registry(run) -> None:
    rows = {row["name"]: row for row in json.loads(run("models", "--json").stdout)}
    flux = rows["demo-flux"]
    assert (flux["type"], flux["licence"], flux["loaded"], flux["fits"]) == (
        "image",
        "Apache-2.0",
        True,
        "fits",
    )
    assert rows["demo-ltx-i2v"]["reason"] == "its folder is missing"


def test_models_are_a_table_for_people(run) -> None:
    lines = run("models").stdout.splitlines()
    assert lines[0].split() == ["NAME", "TYPE", "MEMORY", "DOWNLOAD", "STATE", "LICENCE", "FITS", "HERE"]
    assert lines[1].split() == ["demo-flux", "image", "0.5", "GB", "-", "loaded", "Apache-2.0", "fits"]
    assert any("unavailable" in line and "its folder is missing" in line for line in lines)


def test_models_of_the_registry_are_listed_where_no_server_runs(run, unused_url: str) -> None:
    result = run("models", "--url", unused_url, transport=None)
    assert result.exit_code == 0
    assert "demo-flux" in result.stdout
    assert "no server at" in result.stderr


def test_fitting_is_not_judged_for_another_machine(run) -> None:
    rows = json.loads(run("models", "--json", "--url", "http://gpu.example").stdout)
    assert {row["fits"] for row in rows} == {None}


def test_status_shows_health_queue_deployments_and_gpus(run) -> None:
    assert run("status").stdout.splitlines() == [
        "server       http://127.0.0.1:7860 is ok, version 0.1.0, on cpu",
        "queue        2 pending, 1 processing, 5 completed, 0 failed, 0 cancelled",
        "GPUs         1 of 1 in use",
        "deployment   Flux: 1 replica, healthy, demo-flux loaded, idle for 1 min 15 s",
        "deployment   SD35: 0 replicas, healthy",
    ]


def test_status_bears_a_dispatcher_that_does_not_answer(run, server: FakeServer) -> None:
    queue = {"pending": 1, "paused": True, "deployments": {}, "gpus": {"total": None, "used": None}}
    server.overrides["/api/queue"] = (200, queue)
    assert run("status").stdout.splitlines()[1:] == [
        "queue        1 pending, 0 processing, 0 completed, 0 failed, 0 cancelled (paused)"
    ]


def test_status_exits_1_while_the_server_cannot_take_jobs(run, server: FakeServer) -> None:
    server.healthy = False
    result = run("status", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["healthy"] is False
