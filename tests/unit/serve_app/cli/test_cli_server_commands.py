from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fake_control import INFO, FakeControl

from serve_app.server import ServerError


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


def test_up_serves_in_the_foreground_and_says_where(run, control: FakeControl) -> None:
    result = run("up", server=lambda: control)
    assert [name for name, _ in control.calls] == ["run"]
    assert result.stdout.splitlines()[:4] == [
        "server     http://127.0.0.1:7860",
        "docs       http://127.0.0.1:7860/docs",
        "dashboard  http://127.0.0.1:8265 (asks for a token: paste the content of /home/me/.ray/auth_token)",
        "data       /srv/data",
    ]


def test_up_says_when_the_models_are_demos(run, control: FakeControl) -> None:
    assert "cyberimage up --models full" in run("up", server=lambda: control).stdout
    assert "demo models" not in run("up", "--models", "full", server=lambda: control).stdout


def test_up_passes_its_options_on(run, control: FakeControl, tmp_path: Path) -> None:
    arguments = [
        "--host",
        "0.0.0.0",
        "--port",
        "8000",
        "--data-dir",
        "d",
        "--models",
        "demo",
        "--gpus",
        "2",
        "--detach",
    ]
    result = run("up", *arguments, server=lambda: control)
    ((name, settings),) = control.calls
    assert name == "start_detached"
    assert (settings.host, settings.port, settings.gpus) == ("0.0.0.0", 8000, 2)
    assert (settings.data_dir, settings.models) == (tmp_path / "d", "demo")
    assert "no API key is set" in result.stdout


@pytest.mark.parametrize("options", [(), ("--detach",)])
def test_up_says_what_became_of_a_damaged_database(run, options: tuple[str, ...]) -> None:
    control = FakeControl(info=replace(INFO, notice="the database was damaged"))
    assert "warning    the database was damaged" in run("up", *options, server=lambda: control).stdout


def test_up_warns_when_the_dashboard_is_open_to_other_machines(
    run, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "warning" not in run("up", server=lambda: control).stdout
    monkeypatch.setenv("CYBERIMAGE_DASHBOARD_HOST", "0.0.0.0")
    assert "the Ray dashboard can be reached from other machines" in run("up", server=lambda: control).stdout


def test_up_names_a_misspelt_variable_wherever_it_is_set(
    run, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYBERIMAGE_API_KEY", "mine")
    monkeypatch.setenv("CYBERIMAGE_APIKEYS", "first-key")
    Path(".env").write_text("CYBERIMAGE_KEEP_WARM=5\nMODEL_1=x\n")
    said = run("up", server=lambda: control).stdout
    assert "CYBERIMAGE_APIKEYS is no setting; did you mean CYBERIMAGE_API_KEYS?" in said
    assert "CYBERIMAGE_KEEP_WARM is no setting; did you mean CYBERIMAGE_KEEP_WARM_S?" in said
    assert said.count("is no setting") == 2
    assert "first-key" not in said


def test_up_refuses_a_data_directory_in_use(run, control: FakeControl) -> None:
    control.running = INFO
    result = run("up", server=lambda: control)
    assert result.exit_code == 1
    assert "a server runs on /srv/data already, at http://127.0.0.1:7860" in result.stderr
    assert not control.calls


def test_up_says_what_is_wrong_with_a_setting(
    run, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYBERIMAGE_KEEP_WARM_S", "soon")
    result = run("up", server=lambda: control)
    assert result.exit_code == 1
    assert "error: CYBERIMAGE_KEEP_WARM_S" in result.stderr


def test_down_stops_the_server_of_the_data_directory(run, control: FakeControl, tmp_path: Path) -> None:
    assert (
        run("down", "--data-dir", "d", server=lambda: control).stdout
        == f"no server runs on {tmp_path / 'd'}\n"
    )
    control.running = INFO
    assert run("down", server=lambda: control).stdout == "stopped\n"


def test_a_server_that_does_not_start_says_why(run, control: FakeControl) -> None:
    control.problem = ServerError("port 7860 is taken")
    for arguments in (["up"], ["up", "--detach"], ["down"]):
        result = run(*arguments, server=lambda: control)
        assert (result.exit_code, result.stderr) == (1, "error: port 7860 is taken\n")
