"""Which GPUs a machine has, by what the driver's tool says and what the environment hides."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.hardware import CPU_ONLY, DEVICES, Gpu, visible_gpus

GPUS = tuple(Gpu(name=f"RTX {n}", memory=24576 << 20, free_memory=24000 << 20) for n in range(3))


@pytest.fixture(autouse=True)
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that tells of three GPUs."""
    lines = "\n".join(f"{gpu.name}, 24576, 24000" for gpu in GPUS)
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat <<END\n{lines}\nEND\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv(DEVICES, raising=False)


def test_all_are_visible_where_nothing_is_said() -> None:
    assert visible_gpus() == GPUS


@pytest.mark.parametrize(
    ("said", "numbers"),
    [("", ()), ("-1", ()), ("2", (2,)), ("2, 0", (2, 0)), ("0,7,1", (0,)), ("GPU-8f1a", (0, 1, 2))],
)
def test_the_environment_chooses_among_them(
    monkeypatch: pytest.MonkeyPatch, said: str, numbers: tuple[int, ...]
) -> None:
    monkeypatch.setenv(DEVICES, said)
    assert visible_gpus() == tuple(GPUS[number] for number in numbers)


def test_a_server_that_hides_all_goes_on_doing_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CPU_ONLY, "1")
    assert visible_gpus() == ()
