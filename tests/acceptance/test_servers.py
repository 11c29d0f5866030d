"""Servers as processes: two at once, one killed and started again, one stopped, one that cannot start."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests import processes
from tests.servers import Server
from tests.serving import ENDLESS, LASTING, SHORT, Api

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Server]:
    """Another data directory, whose models stay warm for a moment only.

    Its environment hides all GPUs, and names a proxy that is away.
    """
    environment = dict.fromkeys(["http_proxy", "https_proxy", "ALL_PROXY"], "http://127.0.0.1:9")
    environment["CUDA_VISIBLE_DEVICES"] = ""
    folder = tmp_path_factory.mktemp("second") / "home"
    second = Server(folder, environment=environment, keep_warm_s=2)
    try:
        yield second
    finally:
        second.end()


@pytest.fixture
def neighbour(second: Server) -> Iterator[Api]:
    """The API of a detached server beside the first one."""
    if not second.info:
        second.run("up", "--detach", "--example")
    with closing(Api(second.url)) as api:
        yield api


def test_a_first_picture_is_made_when_it_is_asked_for(neighbour: Api, second: Server):
    (picture,) = second.data_dir.glob("*-demo-flux-1.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_two_servers_work_side_by_side(api: Api, neighbour: Api, server: Server, second: Server):
    assert server.url != second.url
    jobs = api.paint(**SHORT, seed=1), neighbour.paint(**SHORT, seed=1)
    (ours,), (theirs,) = api.completed(jobs[0]), neighbour.completed(jobs[1])
    assert api.files(ours) == neighbour.files(theirs)
    assert neighbour.http.get(f"/api/status/{jobs[0]}").status_code == 404


def test_a_deployment_goes_from_zero_to_one_and_back(neighbour: Api, second: Server):
    neighbour.until_replicas("SD35", 0)
    assert processes.replicas(second.info["pid"], "SD35") == []
    job = neighbour.paint(model="demo-sd35", **ENDLESS)
    neighbour.painting(job)
    (worker,) = processes.replicas(second.info["pid"], "SD35")
    assert neighbour.deployment("SD35")["replicas"] == 1
    neighbour.post(f"/api/jobs/{job}/cancel")
    neighbour.until_replicas("SD35", 0)
    assert not processes.survivors([worker], within=30)


def test_jobs_outlive_a_killed_server(neighbour: Api, second: Server):
    running, *waiting = neighbour.paint(**LASTING), neighbour.paint(**SHORT), neighbour.paint(**SHORT)
    neighbour.painting(running)
    second.kill()
    second.run("up", "--detach")
    with closing(Api(second.url)) as api:
        again, *others = api.completed(running, *waiting)
        assert (again["attempts"], len(again["images"])) == (2, LASTING["num_images"])
        assert [job["attempts"] for job in others] == [1, 1]
        kept = {image["file_path"] for job in (again, *others) for image in job["images"]}
        assert kept <= second.files()
        assert second.unfinished_files(within=10) == set()


def test_a_restart_costs_a_running_job_no_attempt(neighbour: Api, second: Server):
    running = neighbour.paint(**LASTING)
    neighbour.painting(running)
    assert second.run("down").stdout == "stopped\n"
    second.run("up", "--detach")
    with closing(Api(second.url)) as api:
        (again,) = api.completed(running)
        assert (again["attempts"], len(again["images"])) == (1, LASTING["num_images"])


@pytest.mark.usefixtures("neighbour")
def test_down_stops_a_detached_server_and_all_its_processes(second: Server):
    started = second.processes
    assert len(started) > 5
    assert second.run("down").stdout == "stopped\n"
    assert not processes.survivors(started, within=0)
    assert second.info == {}
    assert second.run("down").stdout == f"no server runs on {second.data_dir}\n"


def test_a_start_can_be_broken_off(tmp_path: Path):
    starting = Server(tmp_path / "home")
    try:
        process = starting.begin()
        deadline = time.monotonic() + 120
        while not any("ServeController" in str(each.cmdline()) for each in processes.tree(process.pid)):
            assert time.monotonic() < deadline, starting.log
            time.sleep(0.1)
        started = processes.tree(process.pid)
        process.send_signal(signal.SIGTERM)  # for which Ray has a handler of its own
        assert process.wait(60) == 0, starting.log
        assert not processes.survivors(started, within=5)
        assert starting.info == {}
        assert "Traceback" not in starting.log
    finally:
        starting.end()


@pytest.mark.parametrize("options", [(), ("--detach",)])
def test_a_second_server_on_the_same_data_is_refused(server: Server, options):
    done = server.run("up", *options, code=1)
    assert f"a server runs on {server.data_dir} already, at {server.url}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(server: Server, tmp_path: Path):
    port = server.url.rpartition(":")[2]
    done = server.run("up", "--data-dir", str(tmp_path / "other"), "--port", port, code=1)
    assert f"port {port} is taken" in done.stderr


def test_a_bad_registry_stops_the_start(server: Server, tmp_path: Path):
    file = tmp_path / "models.yaml"
    file.write_text("models:\n  mine:\n    family: flux\n    memory_gb: lots\n")
    done = server.run("up", "--data-dir", str(tmp_path / "other"), "--models", str(file), code=1)
    assert f"{file}: model 'mine', field '" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "other").exists()


def test_a_server_that_cannot_run_says_why(tmp_path: Path):
    broken = Server(tmp_path / "home", database_url="sqlite:////proc/no/place")
    try:
        done = broken.run("up", "--detach", code=1)
    finally:
        broken.end()
    assert "the server did not start:\nerror: The database cannot be used" in done.stderr
    assert "Traceback" not in done.stderr
    assert broken.info == {}
