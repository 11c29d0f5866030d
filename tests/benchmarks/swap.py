"""From the last step of one family to the first step of another on one GPU, phase by phase.

Every process says in its log when it does what; Ray Serve's JSON logs carry the moments. A job of one family
runs for some seconds, and one of another is submitted meanwhile, so that it waits when the GPU is free.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.figures import Figure, seconds
from tests.benchmarks.server import Connection, Server, View
from tests.processes import tree

MODELS = {"demo-flux": "Flux", "demo-sd35": "SD35"}
#: Some seconds of work, as a real model's, in which the next is prepared.
LASTING = {"width": 192, "height": 192, "num_inference_steps": 40, "seed": 1}
#: Jobs before the first swap that is counted: everything has been started once.
WARM_UP = 2

_PLAIN = re.compile(r"[A-Z]+ (\S+ \S+) controller \S+ -- (.*)")
Line = dict[str, Any]
Moments = dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What goes on until the moment of that name, as the table calls it."""

    until: str
    name: str
    note: str = ""


PHASES = (
    Phase(until="claimed", name="end of the old job", note="decode, save, record; claim of the new one"),
    Phase(until="decided", name="metric push, policy"),
    Phase(until="stopped", name="shutdown of the old replica"),
    Phase(until="placed", name="process of the new replica", note="started ahead, or from nothing"),
    Phase(until="up", name="its constructor"),
    Phase(until="called", name="the call reaches it"),
    Phase(until="ready", name="model process, imports", note="forked, or from nothing"),
    Phase(until="loaded", name="load"),
    Phase(until="stepped", name="first step"),
)


def measure(server: Server, count: int, *, heading: str) -> Iterator[Figure]:
    """For a server with one GPU, that would keep its replicas, and lets no job overtake another."""
    with server.connect() as connection:
        jobs = list(_run(connection, WARM_UP + count))
    logs = Logs(server)
    swaps = [logs.swap(old, new) for old, new in pairwise(jobs[WARM_UP - 1 :])]
    yield seconds(heading, "in all", [_until(swap, "stepped") for swap in swaps], "last step to first step")
    before = "old"
    for phase in PHASES:
        lengths = [swap[phase.until] - swap[before] for swap in swaps]
        yield seconds(heading, f"  {phase.name}", lengths, phase.note)
        before = phase.until


def _until(swap: Moments, moment: str) -> float:
    return swap[moment] - swap["old"]


def _run(connection: Connection, count: int) -> Iterator[View]:
    """Jobs of one family and the other in turn, each submitted while the one before runs."""
    models = list(MODELS) * count
    running = connection.paint(models[0], **LASTING)
    for model in models[1:count]:
        for job in connection.watch(running):
            if job["progress"]["step"]:
                break
        waiting = connection.paint(model, **LASTING)
        yield connection.completed(running)
        running = waiting
    yield connection.completed(running)


class Logs:
    """What the server's processes have written, by the time."""

    def __init__(self, server: Server) -> None:
        files = (_session(server) / "logs" / "serve").glob("*.log")
        lines = (_line(text) for file in files for text in file.read_text("utf-8").splitlines())
        self._lines = sorted((line for line in lines if line is not None), key=_moment)

    def swap(self, old: View, new: View) -> Moments:
        """When each phase of the swap ended. Phases that end out of turn are counted as ending in turn."""
        was, now = MODELS[old["model_id"]], MODELS[new["model_id"]]
        begin = self._first(0.0, _says(f"job {old['id']}: last step"))
        claimed = datetime.fromisoformat(new["started_at"]).timestamp()
        moments = {
            "old": begin,
            "claimed": claimed,
            "decided": self._first(begin, _says(f"{now} 1", start="replicas:")),
            "stopped": self._first(begin, _says("Graceful shutdown complete", of=was)),
            "placed": self._first(begin, _says("Started initializing replica", of=now)),
            "up": self._first(begin, _says(f"replica of {now} is up")),
            "called": self._first(begin, _says(f"job {new['id']}:", end="begins")),
            "ready": self._first(begin, _says("the model process is ready", of=now)),
            "loaded": self._first(begin, _says(f"job {new['id']}: the model is loaded")),
            "stepped": self._first(begin, _says(f"job {new['id']}: first step")),
        }
        latest = begin
        for name, moment in moments.items():
            latest = moments[name] = max(moment, latest)
        return moments

    def _first(self, after: float, condition: Callable[[Line], bool]) -> float:
        """The moment of the first line like that. Raises RuntimeError if there is none."""
        for line in self._lines:
            if _moment(line) >= after and condition(line):
                return _moment(line)
        raise RuntimeError("the log lacks a line; is it still written?")


def _says(text: str, *, start: str = "", end: str = "", of: str = "") -> Callable[[Line], bool]:
    def says(line: Line) -> bool:
        message = line["message"]
        deployment = line.get("deployment", "").removeprefix("cyberimage_")
        fits = message.startswith(start) and message.endswith(end) and deployment.endswith(of)
        return fits and text in message

    return says


def _line(text: str) -> Line | None:
    """Of a replica's log, which is JSON, or the controller's; None for a further line of a traceback."""
    if text.startswith("{"):
        line: Line = json.loads(text)
        return line
    if (found := _PLAIN.match(text)) is None:
        return None
    moment = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S,%f").astimezone()
    return {"timestamp_ns": moment.timestamp() * 1e9, "message": found[2]}


def _moment(line: Line) -> float:
    """Seconds since 1970."""
    return float(line["timestamp_ns"]) / 1e9


def _session(server: Server) -> Path:
    """Where the server's Ray keeps its files, as its raylet was told."""
    for process in tree(server.pid):
        try:
            found = re.search(r"(/\S*/session_[^/\s]+)/", " ".join(process.cmdline()))
        except psutil.Error:
            continue
        if found:
            return Path(found[1])
    raise RuntimeError("the server has no Ray")
