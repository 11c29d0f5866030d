"""Ray's worker processes, started and done with their imports before an actor needs one.

A replica of Ray Serve is an actor, and an actor takes an idle worker process of its node, if there is one
with the same runtime environment, that has run nothing for another job or actor. Starting such a process and
importing Ray Serve in it is most of the time that a swap of models takes. Ray starts idle workers when asked
by an RPC to its raylet, for which it has no Python function (Ray 2.60, node_manager.proto, PrestartWorkers).
Another Ray may not know it, or keep it elsewhere: then there is no spare worker, and starts take longer.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Any

import psutil
import ray

log = logging.getLogger("cyberimage.nodes")

#: Seconds between two looks at whether the spare is still there.
LOOK_S = 1.0
#: Seconds for which Ray keeps it idle: not for long after the last one who wants a spare.
KEEP_S = 3600
#: Seconds that a worker may take to start before another is asked for, and how many may not be seen in a row.
START_S, TRIES = 30.0, 5
#: How Ray names a worker process that does nothing.
IDLE = "ray::IDLE"


class SpareWorker:
    """Keeps one idle worker on this node, from `start` on. Nothing depends on it but the time of a start."""

    def __init__(self) -> None:
        self._node = node_here()
        self._raylet = psutil.Process().parent()
        self._waiting_s = 0.0
        self._unseen = 0
        self._thread = threading.Thread(target=self._keep, name="spare worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        """Wait until it has given up."""
        self._thread.join()

    def _keep(self) -> None:
        pause = threading.Event()
        try:
            while self._unseen < TRIES and not pause.wait(LOOK_S):
                self._look()
            log.warning("no spare worker: none of the %d that were asked for came up", self._unseen)
        except Exception as error:  # Ray's inside may be another one, in any way.
            log.warning("no spare worker any more: %s: %s", type(error).__name__, error)

    def _look(self) -> None:
        if self._has_idle():
            self._waiting_s, self._unseen = 0.0, 0
        elif self._waiting_s > 0:
            self._waiting_s -= LOOK_S
        else:
            _prestart(self._node)
            self._waiting_s = START_S
            self._unseen += 1

    def _has_idle(self) -> bool:
        assert self._raylet is not None
        return any(_title(child) == IDLE for child in self._raylet.children())


def _title(process: psutil.Process) -> str | None:
    """None if it has just ended."""
    with contextlib.suppress(psutil.Error):
        return next(iter(process.cmdline()), None)
    return None


def node_here() -> dict[str, Any]:
    """What Ray says of the node on which this process runs."""
    node_id = ray.get_runtime_context().get_node_id()
    node: dict[str, Any] = next(node for node in ray.nodes() if node["NodeID"] == node_id)
    return node


def _prestart(node: dict[str, Any]) -> None:
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import (
        common_pb2,
        node_manager_pb2,
        node_manager_pb2_grpc,
        runtime_environment_pb2,
    )

    request = node_manager_pb2.PrestartWorkersRequest(
        language=common_pb2.Language.PYTHON,
        runtime_env_info=runtime_environment_pb2.RuntimeEnvInfo(serialized_runtime_env=_environment()),
        keep_alive_duration_secs=KEEP_S,
        num_workers=1,
    )
    with init_grpc_channel(f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}") as channel:
        node_manager_pb2_grpc.NodeManagerServiceStub(channel).PrestartWorkers(request, timeout=10)


def _environment() -> str:
    """The runtime environment of this process, which is that of all of the application's."""
    serialized: str = ray.get_runtime_context().runtime_env.serialize()
    return serialized
