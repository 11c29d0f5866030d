"""Weights are read ahead if they are here and fit, and no further than is wanted."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest

from configs.models import HuggingFaceSource
from deployments.weights import DownloadSettings
from deployments.weights.fetching import local_files
from deployments.weights.page_cache import CHUNK, ReadAhead, available_memory, read
from tests.generation import model_spec

SETTINGS = DownloadSettings(offline=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with one component of 3 kB, and a file that it does not need."""
    for name, content in {
        "model_index.json": '{"_class_name": "FluxPipeline", "vae": ["diffusers", "AutoencoderKL"]}',
        "vae/config.json": "{}",
        "vae/diffusion_pytorch_model.safetensors": "x" * 3000,
        "whole.safetensors": "x" * 9000,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return tmp_path


def read_ahead(folder: Path, caplog: pytest.LogCaptureFixture, *, available: int) -> str:
    reader = ReadAhead(SETTINGS, available=lambda: available)
    with caplog.at_level(logging.INFO):
        reader.begin(model_spec("flux", folder, name="m"))
        reader.wait()
    return caplog.text


def test_the_files_that_loading_needs_are_read(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert "0.00 GB read ahead" in read_ahead(folder, caplog, available=10**9)
    files = local_files(model_spec("flux", folder), SETTINGS)
    assert sorted(str(file.relative_to(folder)) for file in files) == [
        "model_index.json",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    assert read(files, threading.Event()) == sum(file.stat().st_size for file in files)


def test_what_does_not_fit_into_memory_is_left_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert "do not fit" in read_ahead(folder, caplog, available=1000)


def test_a_model_that_is_not_here_has_no_files(tmp_path: Path) -> None:
    for spec in (
        model_spec("flux", tmp_path / "nowhere"),
        model_spec("flux", source=HuggingFaceSource(repo="nobody/nothing")),
    ):
        assert local_files(spec, DownloadSettings(cache_dir=tmp_path, offline=True)) == ()


def test_reading_stops_when_it_is_told_to(tmp_path: Path) -> None:
    file = tmp_path / "large"
    with file.open("wb") as output:
        output.truncate(8 * CHUNK)
    stop = threading.Event()
    stop.set()
    assert read([file], stop) == 0


def test_a_new_wish_replaces_the_last(folder: Path) -> None:
    reader = ReadAhead(SETTINGS)
    reader.begin(model_spec("flux", folder))
    first = reader._stop
    reader.begin(model_spec("flux", folder))
    reader.wait()
    assert first.is_set()


def test_some_memory_is_left_to_others() -> None:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 <= available_memory() <= 0.9 * total
