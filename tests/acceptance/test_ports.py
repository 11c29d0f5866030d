"""What other machines can reach: nothing, unless told otherwise."""

from __future__ import annotations

import grpc
import psutil
import pytest

from tests.servers import Server

pytestmark = pytest.mark.acceptance

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def listening(server: Server) -> list[tuple[str, str, int]]:
    """Process, address and port."""
    return [
        (process.name(), connection.laddr.ip, connection.laddr.port)
        for process in server.processes
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def test_ports_are_on_the_loopback_address_but_for_those_of_replicas(server: Server):
    found = listening(server)
    assert len(found) > 5
    outside = [each for each in found if each[1] not in LOOPBACK]
    # Ray Serve leaves no choice for these.
    assert [each for each in outside if not each[0].startswith("ray::ServeReplica")] == []


def test_a_replica_answers_nobody_without_the_token(server: Server):
    outside = [port for _, address, port in listening(server) if address not in LOOPBACK]
    for port in outside:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest")
            with pytest.raises(grpc.RpcError) as refusal:
                call(b"", timeout=10)
        assert refusal.value.code() is grpc.StatusCode.UNAUTHENTICATED
