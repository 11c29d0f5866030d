from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from configs.models import LocalSource
from configs.registry import BUILTIN_FILE, read_models
from configs.settings import Settings
from deployments import weights
from serve_app.cli.errors import CommandError
from serve_app.cli.weights import WeightState, fetch, weight_state

FLUX = read_models(BUILTIN_FILE)[0]


def missing(gigabytes: float):
    return lambda spec, settings: WeightState(present=False, missing_gb=gigabytes)


def fetched(names: list[str]):
    def fetch(spec, settings, report) -> None:
        names.append(spec.name)
        report("Downloading", None)
        for percent in range(0, 101):
            report(f"Downloading {spec.name}: {percent} %", percent / 100)

    return fetch


def test_pull_downloads_each_named_model_once(run) -> None:
    names: list[str] = []
    result = run(
        "pull", "flux-1-dev", "ltx-video-t2v", "flux-1-dev", fetch=fetched(names), weight_state=missing(24)
    )
    assert result.exit_code == 0
    assert names == ["flux-1-dev", "ltx-video-t2v"]
    assert result.stdout == "flux-1-dev is ready\nltx-video-t2v is ready\n"


def test_a_log_gets_a_line_for_each_tenth(run) -> None:
    result = run("pull", "flux-1-dev", fetch=fetched([]), weight_state=missing(24))
    assert len(result.stderr.splitlines()) == 12


def test_a_terminal_gets_a_bar(run) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=100, _environ={})
    assert run("pull", "flux-1-dev", fetch=fetched([]), weight_state=missing(24), err=screen).exit_code == 0
    assert isinstance(screen.file, io.StringIO)
    assert "100%" in screen.file.getvalue()


def test_what_is_here_is_not_fetched_again(run) -> None:
    names: list[str] = []
    result = run("pull", "demo-flux", fetch=fetched(names))
    assert result.stdout == "demo-flux is here already\n"
    assert not names


def test_of_what_another_tool_downloaded_the_hub_is_asked(run) -> None:
    names: list[str] = []
    uncertain = WeightState(present=True, certain=False)
    result = run("pull", "flux-1-dev", fetch=fetched(names), weight_state=lambda spec, settings: uncertain)
    assert names == ["flux-1-dev"]
    assert result.stdout == "flux-1-dev is ready\n"


def test_a_model_that_jobs_may_not_download_is_pulled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = []
    monkeypatch.setattr(weights, "fetch", lambda spec, **how: wanted.append(spec))
    kept = FLUX.model_copy(update={"download_enabled": False})
    fetch(kept, Settings(weights_dir=tmp_path, _env_file=None), lambda message, fraction: None)
    assert wanted == [FLUX]


def test_an_unknown_model_is_refused_before_any_download(run) -> None:
    names: list[str] = []
    result = run("pull", "flux-1-dev", "nonsense", fetch=fetched(names), weight_state=missing(24))
    assert result.exit_code == 1
    assert "unknown model nonsense" in result.stderr
    assert "sd-3.5-large" in result.stderr
    assert not names


@pytest.mark.parametrize(
    ("problem", "code", "words"),
    [
        (CommandError("flux-1-dev is gated", hint="Set HF_TOKEN"), 1, "hint: Set HF_TOKEN"),
        (KeyboardInterrupt(), 130, "`cyberimage pull flux-1-dev` goes on from here"),
    ],
)
def test_a_download_that_ends_early_says_what_to_do(
    run, problem: BaseException, code: int, words: str
) -> None:
    def fetch(spec, settings, report) -> None:
        raise problem

    result = run("pull", "flux-1-dev", fetch=fetch, weight_state=missing(24))
    assert result.exit_code == code
    assert words in result.stderr


def test_a_refused_download_becomes_a_message_and_a_hint(tmp_path: Path) -> None:
    settings = Settings(hub_offline=True, weights_dir=tmp_path, _env_file=None)
    with pytest.raises(CommandError, match=FLUX.name):
        fetch(FLUX, settings, lambda message, fraction: None)


def test_an_empty_cache_lacks_the_whole_download(tmp_path: Path) -> None:
    state = weight_state(FLUX, Settings(weights_dir=tmp_path, _env_file=None))
    assert state == WeightState(present=False, missing_gb=FLUX.download_gb)


def test_a_missing_local_folder_cannot_be_downloaded(tmp_path: Path) -> None:
    lost = FLUX.model_copy(update={"source": LocalSource(path=str(tmp_path / "none"))})
    assert not weight_state(lost, Settings(weights_dir=tmp_path, _env_file=None)).downloadable
