"""What of starting and stopping a server can be seen without Ray."""

from __future__ import annotations

import socket
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from configs.settings import Settings
from serve_app import server
from serve_app.cluster import DeployFailed, is_running
from serve_app.server import ServerError, held_port


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
def test_a_server_that_a_person_starts_says_at_once_why_it_cannot(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["server"])
    with pytest.raises(SystemExit, match="error: Ray does not start: too busy"):
        server.main()
