"""On each node of the cluster, an actor that has processes and files ready before they are needed."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from configs.models import ModelSpec
from deployments.process.nursery import Nursery
from deployments.weights import DownloadSettings
from deployments.weights.page_cache import ReadAhead
from serve_app.blocking import Blocking
from serve_app.spare_workers import SpareWorker, node_here

log = logging.getLogger("cyberimage.nodes")

#: Seconds between two looks at which nodes there are.
LOOK_S = 5.0


def zygote_socket(*, preload: bool) -> Path | None:
    """Where the zygote of the node listens on which this runs; None if there is none."""
    if not preload or sys.platform != "linux":
        return None
    node = node_here()
    # Beside Ray's own sockets, and no longer than they are: the system allows 107 characters.
    return Path(node["RayletSocketName"]).parent / f"c{node['NodeID'][:5]}" / "z"


class NodeKeeper:
    """The actor: keeps a zygote, and reads weights ahead."""

    def __init__(self, downloads: DownloadSettings, *, preload: bool) -> None:
        logging.basicConfig(level=logging.INFO)
        self._read_ahead = ReadAhead(downloads)
        socket = zygote_socket(preload=preload)
        if socket is not None:
            Nursery(socket).start()
        if preload:
            SpareWorker().start()

    def prefetch(self, spec: ModelSpec) -> None:
        """Read the model's weights into the page cache, in place of those of an earlier call."""
        self._read_ahead.begin(spec)


class Nodes:
    """The keepers of all nodes on which families may run. They end with this process."""

    def __init__(
        self, downloads: DownloadSettings, blocking: Blocking, *, preload: bool, without_gpu: bool
    ) -> None:
        """`without_gpu`: a family may run on a node that has no GPU."""
        self._without_gpu = without_gpu
        self._downloads = downloads
        self._blocking = blocking
        self._preload = preload
        self._keepers: dict[str, Any] = {}

    def prefetch(self, spec: ModelSpec) -> None:
        """Have every node that has the model's files read them. Returns at once."""
        for keeper in self._keepers.values():
            keeper.prefetch.remote(spec)

    async def keep(self) -> None:
        """Have a keeper on each such node that is alive. Runs until cancelled."""
        while True:
            try:
                await self._blocking(self._look)
            except Exception:
                log.exception("looking after the nodes")
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        alive = {node["NodeID"] for node in ray.nodes() if self._serves(node)}
        self._keepers = {node: keeper for node, keeper in self._keepers.items() if node in alive}
        for node in alive - self._keepers.keys():
            there = NodeAffinitySchedulingStrategy(node, soft=False)
            actor = ray.remote(NodeKeeper).options(num_cpus=0, max_restarts=-1, scheduling_strategy=there)
            self._keepers[node] = actor.remote(self._downloads, preload=self._preload)

    def _serves(self, node: dict[str, Any]) -> bool:
        return bool(node["Alive"]) and (self._without_gpu or node["Resources"].get("GPU", 0) > 0)
