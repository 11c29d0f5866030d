"""What is killed: processes of a server told by their titles, its whole Ray, or everything."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from typing import Literal, get_args

import psutil

from tests import processes
from tests.chaos.machine import Machine

Sort = Literal[
    "model", "replica", "zygote", "dispatcher", "ingress", "proxy", "controller", "ray", "server", "machine"
]
SORTS: tuple[Sort, ...] = get_args(Sort)
#: Those whose death brings the whole server down for a while, and those that only `up` brings back.
WHOLE: tuple[Sort, ...] = ("ray", "server", "machine")
FOR_GOOD: tuple[Sort, ...] = ("server", "machine")

TITLES: dict[Sort, str] = {
    "model": "cyberimage: ",
    "replica": "ray::ServeReplica:cyberimage:",
    "zygote": "cyberimage: zygote",
    "dispatcher": "ray::ServeReplica:cyberimage:Dispatcher",
    "ingress": "ray::ServeReplica:cyberimage:Ingress",
    "proxy": "ray::ProxyActor",
    "controller": "ray::ServeController",
}
#: Told by the same beginning, but of another sort.
NOT: dict[Sort, tuple[Sort, ...]] = {"model": ("zygote",), "replica": ("dispatcher", "ingress")}
CORE = ("gcs_server", "raylet")


def schedule(kills: int, sorts: Sequence[Sort], rng: random.Random) -> list[Sort]:
    """So many deaths, of each sort about as many, in random order."""
    rounds = [sort for _ in range(-(-kills // len(sorts))) for sort in sorts][:kills]
    rng.shuffle(rounds)
    return rounds


def kill(machine: Machine, sort: Sort, rng: random.Random) -> str | None:
    """SIGKILL. What was killed, in words; None if there is nothing of the sort now."""
    match sort:
        case "machine":
            return f"{machine.kill()} processes"
        case "server":
            machine.kill_server()
            return "cyberimage up"
        case "ray":
            victims = [each for each in machine.children() if each.name() in CORE]
        case _:
            victims = _titled(machine, sort)
    for victim in rng.sample(victims, k=len(victims)):
        with contextlib.suppress(psutil.Error):
            name = victim.name() if sort == "ray" else _title(victim)
            victim.kill()
            return name
    return None


def _titled(machine: Machine, sort: Sort) -> list[psutil.Process]:
    found = processes.titled(machine.pid, TITLES[sort])
    others = tuple(TITLES[other] for other in NOT.get(sort, ()))
    return [each for each in found if not _title(each).startswith(others or ("\0",))]


def _title(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline()).strip()
    return ""
