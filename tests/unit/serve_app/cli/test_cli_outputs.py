from __future__ import annotations

from pathlib import Path

import pytest
from fake_server import PNG, FakeServer, done, image, job

from serve_app.cli.job_view import JobView, MediaView
from serve_app.cli.outputs import file_name


def named(model: str, *, seed: int | None = 7, content_type: str = "image/png", created: str = "") -> str:
    view = JobView.from_json(job("completed", model_id=model))
    media = MediaView(id="0123456789", media_type="image", url="", seed=seed, created_at=created)
    return file_name(view, media, content_type)


def test_a_name_says_date_model_and_seed() -> None:
    assert named("demo-flux") == "2026-01-15-demo-flux-7.png"


@pytest.mark.parametrize(
    ("content_type", "suffix"),
    [("image/webp", ".webp"), ("image/jpeg; q=1", ".jpg"), ("video/mp4", ".mp4"), ("", ".png")],
)
def test_the_suffix_follows_the_content(content_type: str, suffix: str) -> None:
    assert named("m", content_type=content_type).endswith(suffix)


@pytest.mark.parametrize("model", ["../../etc/passwd", "/srv/x", "a b\nc", "..", ""])
def test_a_name_never_leaves_its_folder(model: str) -> None:
    name = named(model)
    assert Path(name).name == name
    assert "\n" not in name
    assert not name.startswith(".")


def test_an_output_without_a_seed_is_named_by_its_id() -> None:
    assert named("m", seed=None) == "2026-01-15-m-01234567.png"


def test_the_date_is_the_outputs_own_in_utc() -> None:
    assert named("m", created="2026-01-15T23:30:00-05:00").startswith("2026-01-16-")


def test_a_file_that_exists_is_never_replaced(run, tmp_path: Path) -> None:
    first = run("generate", "a red circle").stdout.strip()
    (tmp_path / first).write_bytes(b"mine")
    assert run("generate", "a red circle").stdout == "2026-01-15-demo-flux-7-2.png\n"
    assert (tmp_path / first).read_bytes() == b"mine"
    assert not list(tmp_path.glob(".*"))


def test_several_outputs_are_saved_in_order(run, server: FakeServer) -> None:
    server.script = [done(image("m1", seed=7), image("m2", seed=8))]
    assert run("generate", "a red circle", "-n", "2").stdout.split() == [
        "2026-01-15-demo-flux-7.png",
        "2026-01-15-demo-flux-8.png",
    ]


def test_a_folder_that_cannot_be_written_is_said(run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(PNG)
    result = run("generate", "a red circle", "--out", "file/below")
    assert result.exit_code == 1
    assert "cannot write to file/below" in result.stderr
    assert "job j1" in result.stderr
