"""Which GPUs a machine has, by what the driver's tool says and what the environment hides."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.hardware import CPU_ONLY, DEVICES, Gpu, free_swap, visible_gpus

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


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [(None, None, 8), ("max", "1", 8), ("4", "1", 3), ("64", "1", 8), ("0", "0", 0), ("1", "2", 0)],
)
def test_swap_space_is_what_a_containers_limit_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, used: str | None, free: int
) -> None:
    for name, said in (("memory.swap.max", limit), ("memory.swap.current", used)):
        if said is not None:
            (tmp_path / name).write_text(f"{said}\n")
    monkeypatch.setattr("configs.hardware.CGROUP", tmp_path)
    swap = type("Swap", (), {"free": 8})
    monkeypatch.setattr("configs.hardware.psutil.swap_memory", lambda: swap)
    assert free_swap() == free
