"""The zygote: who may ask it, what becomes of its children, and what of it when things go wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deployments.process.launch import Launcher
from deployments.process.nursery import Nursery
from deployments.process.proxy import ModelProcess
from deployments.process.zygote import UNFIT, listen
from tests.model_process import Puppet, Wish
from tests.processes import survivors

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="zygotes fork on Linux")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private" / "zygote"


@pytest.fixture
def nursery(path: Path) -> Iterator[Nursery]:
    nursery = Nursery(path, preload="tests.model_process:nothing")
    nursery.start()
    until(path.exists)
    yield nursery
    nursery.close()


def until(condition: Callable[[], object], within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def process_of(model: ModelProcess) -> psutil.Process:
    ((_, what),) = [event async for event in model.generate(Wish())]
    return psutil.Process(what["pid"])


def puppet(path: Path) -> ModelProcess:
    return ModelProcess(Puppet, title="puppet", launch=Launcher(zygote=path))


async def test_model_processes_are_its_children_and_hold_nothing_of_it(path: Path, nursery: Nursery) -> None:
    model = puppet(path)
    process = await process_of(model)
    assert process.ppid() == nursery.pid
    sockets = [fd for fd in os.listdir(f"/proc/{process.pid}/fd") if _is_socket(process.pid, fd)]
    own = 3  # Its channel, and the pair by which asyncio wakes itself.
    assert len(sockets) == own
    await model.close()


def _is_socket(pid: int, fd: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
    except FileNotFoundError:
        return False


def test_only_its_user_can_enter_the_folder_of_its_socket(path: Path, nursery: Nursery) -> None:
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(PermissionError):
        listen(tmp_path / "zygote")


async def test_nonsense_does_not_disturb_it(path: Path, nursery: Nursery) -> None:
    for nonsense in (b"", b"short", b"\0" * 8, b"\0\0\0\0\0\0\0\5hello"):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(path))
            stranger.sendall(nonsense)
    model = puppet(path)
    assert (await process_of(model)).ppid() == nursery.pid
    await model.close()


async def test_it_is_replaced_when_it_is_killed_and_its_children_live_on(
    path: Path, nursery: Nursery
) -> None:
    model = puppet(path)
    process = await process_of(model)
    assert nursery.pid is not None
    killed = nursery.pid
    os.kill(killed, signal.SIGKILL)
    assert await process_of(model) == process
    until(lambda: nursery.pid != killed)
    other = puppet(path)
    await process_of(other)
    await other.close()
    await model.close()
    assert not survivors([process], within=5)


async def test_without_it_a_model_process_imports_for_itself(path: Path, nursery: Nursery) -> None:
    nursery.close()
    listen(path).close()  # As a zygote leaves its socket that was killed.
    model = puppet(path)
    assert (await process_of(model)).ppid() == os.getpid()
    await model.close()


def replica_with_model(path: Path, preparation: str) -> tuple[subprocess.Popen[bytes], psutil.Process]:
    replica = subprocess.Popen(
        [sys.executable, "-m", "tests.spawn.replica", str(path), preparation], stdout=subprocess.PIPE
    )
    assert replica.stdout is not None
    return replica, psutil.Process(int(replica.stdout.readline()))


def end(replica: subprocess.Popen[bytes]) -> None:
    replica.kill()
    replica.wait()
    assert replica.stdout is not None
    replica.stdout.close()


def test_its_children_die_with_their_replica(path: Path, nursery: Nursery) -> None:
    for preparation in ("block", "wait"):
        replica, model = replica_with_model(path, preparation)
        end(replica)
        assert not survivors([model], within=5)


async def test_a_child_and_its_replica_that_end_in_the_same_moment_do_not_disturb_it(
    path: Path, nursery: Nursery
) -> None:
    assert nursery.pid is not None
    zygote = psutil.Process(nursery.pid)
    replica, model = replica_with_model(path, "wait")
    zygote.suspend()
    model.kill()
    end(replica)
    zygote.resume()
    other = puppet(path)
    assert (await process_of(other)).ppid() == zygote.pid == nursery.pid
    await other.close()


def test_it_ends_with_the_process_that_keeps_it(path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from deployments.process.nursery import Nursery;"
        "n = Nursery(Path(sys.argv[1]), preload='tests.model_process:nothing'); n.start();"
        "exec('while not n.pid: time.sleep(0.01)'); print(n.pid, flush=True); time.sleep(3600)"
    )
    keeper = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
    assert keeper.stdout is not None
    zygote = psutil.Process(int(keeper.stdout.readline()))
    until(path.exists)
    keeper.kill()
    keeper.wait()
    keeper.stdout.close()
    assert not survivors([zygote], within=5)
    until(lambda: not path.exists())


def test_one_whose_copies_could_not_use_the_accelerator_gives_up(path: Path) -> None:
    command = [sys.executable, "-m", "deployments.process.zygote", str(path)]
    done = subprocess.run(
        [*command, "tests.spawn.replica:poison"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert done.returncode == UNFIT
    assert not path.exists()
