"""What of starting and stopping a server can be seen without Ray."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from configs.settings import Settings
from serve_app import cluster, server
from serve_app.cluster import DeployFailed, is_running
from serve_app.neighbours import CannotJoin
from serve_app.server import ServerError, ServerInfo, held_port


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def application(status: str, message: str = "", **deployments: tuple[str, str]) -> Any:
    return SimpleNamespace(
        name="cyberimage",
        app_status=SimpleNamespace(status=status, message=message),
        deployment_statuses=[
            SimpleNamespace(name=name, status=state, message=text)
            for name, (state, text) in deployments.items()
        ],
    )


def test_two_servers_that_start_at_once_get_different_ports():
    with held_port(settings()) as one, held_port(settings()) as other:
        assert one != other


def test_a_port_that_was_asked_for_is_not_swapped_for_another():
    with (
        held_port(settings(port=0)) as port,
        pytest.raises(ServerError, match=f"port {port} is taken"),
        held_port(settings(port=port)),
    ):
        pass


def test_ray_serve_can_listen_on_the_held_port():
    with held_port(settings(port=0)) as port, socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_port_is_free_again_afterwards():
    with held_port(settings(port=0)) as port:
        pass
    with held_port(settings(port=port)) as again:
        assert again == port


def test_an_application_runs_once_ray_says_so():
    assert not is_running([])
    assert not is_running([application("DEPLOYING")])
    assert is_running([application("RUNNING")])


def test_a_deployment_that_cannot_start_is_named_with_its_error():
    failed = ("DEPLOY_FAILED", "Traceback:\n  File x\nOSError: no such disk\n")
    with pytest.raises(DeployFailed, match="the Ingress does not start: OSError: no such disk"):
        is_running([application("DEPLOY_FAILED", Dispatcher=("HEALTHY", ""), Ingress=failed)])


def test_an_application_that_cannot_be_built_says_why():
    with pytest.raises(DeployFailed, match="ImportError: serve_app"):
        is_running([application("DEPLOY_FAILED", "Traceback:\nImportError: serve_app")])


@pytest.mark.parametrize("host", ["no such host", "192.0.2.77"])
def test_an_address_of_another_machine_is_not_called_a_taken_port(host: str):
    with pytest.raises(ServerError, match=host), held_port(settings(host=host, port=0)):
        pass


def test_ipv6_addresses_can_be_listened_on():
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with held_port(settings(host="::1", port=0)) as port:
        assert port > 0


class Joined:
    """Stands in for serve_app.cluster: Ray Serve listens on that port there, or it cannot be joined."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, port: int | None = None, problem: str | None = None
    ) -> None:
        self.port = port
        self.problem = problem
        self.calls: list[Any] = []
        monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
        monkeypatch.setattr(server, "_await_answer", lambda url: None)
        monkeypatch.setattr(server, "_wait", lambda stop, *_: stop.set())
        for name in ("connect", "deploy", "disconnect"):
            monkeypatch.setattr(cluster, name, getattr(self, name))

    def connect(self, settings: Settings) -> cluster.Connection:
        if self.problem is not None:
            raise CannotJoin(self.problem)
        return cluster.Connection(
            processes=None, dashboard_url=None, token_file=None, session=None, port=self.port
        )

    def deploy(self, settings: Settings, registry: Any, port: int, *, own: bool) -> None:
        self.calls.append(port)

    def disconnect(self, connection: cluster.Connection, settings: Settings) -> None:
        self.calls.append("disconnect")


def test_a_cluster_without_a_place_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    joined = Joined(monkeypatch, problem="CyberImage runs there already")
    with pytest.raises(ServerError, match=r"^CyberImage runs there already$"):
        server.run(settings(data_dir=tmp_path, models="demo"))
    assert joined.calls == []


def test_a_server_is_where_ray_serve_of_the_cluster_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with held_port(settings(port=0)) as taken:
        joined = Joined(monkeypatch, port=taken)
        told: list[str] = []
        asked_for = settings(data_dir=tmp_path, models="demo", port=taken)
        server.run(asked_for, on_ready=lambda info: told.append(info.url))
    assert (told, joined.calls) == ([f"http://127.0.0.1:{taken}"], [taken, "disconnect"])


def test_a_joined_cluster_without_ray_serve_gets_a_free_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    joined = Joined(monkeypatch)
    with held_port(settings()) as taken:
        server.run(settings(data_dir=tmp_path, models="demo"))
    port, _ = joined.calls
    assert port > taken
    with (
        held_port(settings(port=0)) as taken,
        pytest.raises(ServerError, match=f"port {taken} is taken"),
    ):
        server.run(settings(data_dir=tmp_path, models="demo", port=taken))


class Becomes(Exception):
    """What a process would become by execve, which does not return."""


@pytest.fixture
def becoming(monkeypatch: pytest.MonkeyPatch) -> None:
    def execve(path: str, arguments: list[str], environment: dict[str, str]) -> None:
        raise Becomes(path, arguments[1:])

    monkeypatch.setattr(server.os, "execve", execve)
    monkeypatch.setattr(server, "AGAIN_S", 0)
    monkeypatch.setattr(server, "run", refuse)


def refuse(settings: Settings, **hooks: Any) -> None:
    raise ServerError("Ray does not start: too busy")


@pytest.mark.usefixtures("becoming")
def test_a_server_in_place_of_one_whose_ray_has_died_tries_until_it_starts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["server", server.AGAIN])
    with pytest.raises(Becomes) as becomes:
        server.main()
    assert becomes.value.args == (sys.executable, ["-m", "serve_app.server", server.AGAIN])


@pytest.mark.usefixtures("becoming")
def test_meanwhile_it_can_be_found_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = []
    monkeypatch.setattr(sys, "argv", ["server", server.AGAIN])
    monkeypatch.setenv("CYBERIMAGE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(server.time, "sleep", lambda _: found.append(server._pid_on(tmp_path)))
    with pytest.raises(Becomes):
        server.main()
    assert found == [os.getpid()]


@pytest.mark.usefixtures("becoming")
def test_it_ends_where_another_has_taken_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["server", server.AGAIN])
    monkeypatch.setenv("CYBERIMAGE_DATA_DIR", str(tmp_path))
    with server._alone(tmp_path), pytest.raises(SystemExit, match="another server uses"):
        server.main()


def test_a_full_disk_keeps_no_server_from_starting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    full = True

    def write_text(path: Path, text: str) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return path.write_bytes(text.encode())

    monkeypatch.setattr(Path, "write_text", write_text)
    info = ServerInfo(
        url="u", docs_url="d", dashboard_url=None, dashboard_token_file=None, data_dir=str(tmp_path), pid=1
    )
    (tmp_path / "server.json").write_bytes(b"{}")  # a killed server's
    with server._alone(tmp_path), server._announced(info) as announce:
        assert not (tmp_path / "server.json").exists()
        assert server.find(settings(data_dir=tmp_path)) is None
        full = False
        announce()
        assert server.find(settings(data_dir=tmp_path)) == info


@pytest.mark.usefixtures("becoming")
def test_a_server_that_a_person_starts_says_at_once_why_it_cannot(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["server"])
    with pytest.raises(SystemExit, match="error: Ray does not start: too busy"):
        server.main()


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """The address of a server that says this to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}"
        finally:
            listening.shutdown()
            thread.join()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "READY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(server, "UNHEALTHY_FOR_S", 0.1)
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks://127.0.0.1:9")


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_up_and_unhealthy_says_why_instead_of_not_starting():
    with answering(200, "{}") as url:
        assert server._await_answer(url) is None
    with answering(503, '{"version": "1", "reason": "the disk is full"}') as url:
        assert server._await_answer(url) == "the server is up, but the disk is full"


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("body", ["a proxy's page", "{}", '{"reason": "ours"}', "[]"])
def test_what_another_program_says_there_is_no_answer(body: str):
    with answering(503, body) as url, pytest.raises(ServerError, match="does not answer") as error:
        server._await_answer(url)
    assert body in str(error.value)


def test_a_server_can_be_stopped_while_it_starts(tmp_path: Path):
    code = "import sys, time; from pathlib import Path; from serve_app.server import _alone\n"
    code += "with _alone(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    starting = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert starting.stdout is not None
    starting.stdout.readline()
    assert server.stop(settings(data_dir=tmp_path))
    assert starting.wait(5) == -signal.SIGTERM
    starting.stdout.close()
    assert not server.stop(settings(data_dir=tmp_path))
