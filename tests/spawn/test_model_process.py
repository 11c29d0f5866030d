"""A model in a process of its own, forked or started from nothing: the same to its replica."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.contract import MemoryUse
from deployments.errors import OutOfMemory, ProcessDied
from deployments.process.frames import Channel, Ended, Make, Ready, Run, Stop
from deployments.process.launch import Launcher
from deployments.process.nursery import Nursery
from deployments.process.proxy import ModelProcess
from tests.model_process import Puppet, Unmakable, Wish
from tests.processes import survivors

forked = pytest.param("forked", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux forks"))
either = pytest.mark.parametrize("launcher", [forked, "spawned"], indirect=True)


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("z", numbered=True) / "private" / "zygote"
    nursery = Nursery(path, preload="tests.model_process:nothing")
    nursery.start()
    yield path
    nursery.close()
    assert not path.exists()


@pytest.fixture(params=[forked])
def launcher(request: pytest.FixtureRequest) -> Launcher:
    return Launcher(zygote=request.getfixturevalue("zygote") if request.param == "forked" else None)


@pytest.fixture
async def model(launcher: Launcher) -> AsyncIterator[ModelProcess]:
    model = ModelProcess(Puppet, title="cyberimage: Puppet", launch=launcher, stop_within_s=0.2)
    yield model
    await model.close()


async def told(model: ModelProcess, wish: Wish) -> list[Any]:
    return [event async for event in model.generate(wish)]


async def told_of(model: ModelProcess) -> dict[str, Any]:
    """What the process says of itself."""
    ((_, what),) = await told(model, Wish())
    return what


async def begun(model: ModelProcess, *deeds: Any) -> asyncio.Task[Any]:
    """A run that has told of itself and is at the next deed now."""
    reached = asyncio.Event()

    async def run() -> None:
        async with aclosing(model.generate(Wish(deeds=("tell", *deeds)))) as events:
            async for _ in events:
                reached.set()

    task = asyncio.create_task(run())
    await reached.wait()
    return task


@either
async def test_it_tells_what_memory_it_holds_before_it_saves(model: ModelProcess) -> None:
    use, saving = await told(model, Wish(deeds=("save",)))
    assert use.job_id == saving.job_id
    assert isinstance(use.event, MemoryUse)
    assert not use.event.gpu
    assert 1_000_000 < use.event.used < use.event.total == psutil.virtual_memory().total


@either
async def test_runs_of_one_process_follow_one_another(model: ModelProcess) -> None:
    assert model.loaded_model is None
    first, second = await asyncio.gather(told_of(model), told_of(model))
    assert first["pid"] == second["pid"] != os.getpid()
    assert model.loaded_model == "a-model"


@either
async def test_the_process_has_this_ones_environment(
    model: ModelProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert (await told_of(model))["environment"]["CUDA_VISIBLE_DEVICES"] == "3"


@either
async def test_gpus_that_the_server_hides_stay_hidden_whatever_ray_says(
    model: ModelProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYBERIMAGE_CPU_ONLY", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert (await told_of(model))["environment"]["CUDA_VISIBLE_DEVICES"] == ""


@either
async def test_the_process_is_named_after_its_model(model: ModelProcess) -> None:
    process = psutil.Process((await told_of(model))["pid"])
    assert " ".join(process.cmdline()).strip() == "cyberimage: Puppet a-model"


@either
async def test_a_cancelled_run_ends_and_spares_its_process(model: ModelProcess) -> None:
    before = await told_of(model)
    run = await begun(model, "wait")
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await told_of(model))["pid"] == before["pid"]


async def test_a_closed_run_ends_and_spares_its_process(model: ModelProcess) -> None:
    async with aclosing(model.generate(Wish(deeds=("tell", "wait")))) as events:
        _, what = await anext(events)
    assert (await told_of(model))["pid"] == what["pid"]


@either
async def test_a_run_that_does_not_stop_ends_with_its_process(model: ModelProcess) -> None:
    before = psutil.Process((await told_of(model))["pid"])
    run = await begun(model, "block")
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert not survivors([before], within=5)
    assert (await told_of(model))["pid"] != before.pid


async def test_errors_of_the_run_arrive_whole_and_spare_the_process(model: ModelProcess) -> None:
    before = await told_of(model)
    with pytest.raises(OutOfMemory, match="full") as caught:
        await told(model, Wish(deeds=("raise",)))
    assert caught.value.hint == "less"
    assert (await told_of(model))["pid"] == before["pid"]


@pytest.mark.parametrize(
    ("deed", "how"),
    [
        ("kill", "killed by signal 9; out of memory is the usual reason"),
        ("exit", "exit code 3"),
        ("die", "exit code 70"),
        ("break", "its accelerator has failed"),
    ],
)
async def test_a_process_that_dies_is_replaced(model: ModelProcess, deed: Any, how: str) -> None:
    before = await told_of(model)
    with pytest.raises(ProcessDied, match=how):
        await told(model, Wish(deeds=("tell", deed)))
    assert model.loaded_model is None
    assert (await told_of(model))["pid"] != before["pid"]


async def test_a_process_that_died_while_idle_is_replaced_unnoticed(model: ModelProcess) -> None:
    process = psutil.Process((await told_of(model))["pid"])
    process.kill()
    while model.is_up:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert (await told_of(model))["pid"] != process.pid


@either
async def test_unloading_waits_for_the_run_and_leaves_no_process(model: ModelProcess) -> None:
    process = psutil.Process((await told_of(model))["pid"])
    await model.unload()
    assert not survivors([process], within=0)
    assert model.loaded_model is None


@either
async def test_a_process_that_cannot_start_says_why(launcher: Launcher) -> None:
    model = ModelProcess(Unmakable, title="none", launch=launcher)
    with pytest.raises(ProcessDied, match="it cannot start: ImportError: no such library"):
        await told(model, Wish())
    await model.close()


@either
async def test_what_the_process_logs_is_logged_here(
    model: ModelProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await told(model, Wish(deeds=("log", "tell")))
    records = [record for record in caplog.records if record.name == "puppet"]
    by_text = {record.getMessage(): vars(record) for record in records}
    assert set(by_text) == {"a word", "another"}
    assert by_text["another"]["job_id"] == "job-7"


@either
async def test_what_the_process_prints_is_printed_here(
    model: ModelProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    await told(model, Wish(deeds=("print",)))
    assert capfd.readouterr() == ("on stdout\n", "on stderr\n")


async def test_large_events_pass(model: ModelProcess) -> None:
    ((_, data),) = await told(model, Wish(deeds=("weigh",)))
    assert len(data) == 20_000_000


async def test_a_run_that_is_stopped_before_it_has_begun_ends_all_the_same() -> None:
    ours, theirs = socket.socketpair()
    command = (sys.executable, "-m", "deployments.process.child", str(theirs.fileno()))
    process = await asyncio.create_subprocess_exec(*command, pass_fds=(theirs.fileno(),))
    theirs.close()
    channel = await Channel.over(ours)
    try:
        channel.put(Make(title="cyberimage: Puppet", make=Puppet))
        assert isinstance(await channel.receive(), Ready)
        process.send_signal(signal.SIGSTOP)  # Both words are there when it looks.
        channel.put(Run(arguments=(Wish(),)))
        channel.put(Stop())
        process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(20):
            while not isinstance(await channel.receive(), Ended):
                pass
    finally:
        channel.close()
        await process.wait()
