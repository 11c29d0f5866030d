"""What the server's processes hold, looked at again and again."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import linear_regression, mean

import psutil

#: What varies in the titles of processes that do the same: what they are at, and the model that they hold.
_VARYING = re.compile(r"(?<=[A-Za-z])\.\w+$|(?<=cyberimage: )(?!zygote)(\w+).*")
#: Samples of a series below which nothing is said of its slope.
FEWEST = 8
#: The part of a run at whose start everything may still grow: imports, caches, pools.
WARMING = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """What the processes of one name held together at a moment, `at` seconds after the start."""

    name: str
    at: float
    processes: int
    rss_mb: float
    fds: int
    threads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trend:
    """Means over the time after the warming up, and growth by the hour (least squares)."""

    name: str
    samples: int
    rss_mb: float
    rss_mb_per_hour: float
    fds: float
    fds_per_hour: float
    threads: float
    threads_per_hour: float


def look(processes: Iterable[psutil.Process], at: float) -> list[Holding]:
    """One holding for each name."""
    held: dict[str, list[tuple[float, int, int]]] = defaultdict(list)
    for process in processes:
        with contextlib.suppress(psutil.Error), process.oneshot():
            figures = process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()
            held[name_of(process)].append(figures)
    return [
        Holding(
            name=name,
            at=at,
            processes=len(each),
            rss_mb=sum(rss for rss, _, _ in each),
            fds=sum(fds for _, fds, _ in each),
            threads=sum(threads for _, _, threads in each),
        )
        for name, each in held.items()
    ]


def name_of(process: psutil.Process) -> str:
    """Alike for processes that do the same."""
    command = process.cmdline()
    title = " ".join(command).strip() if command and not command[0].startswith("/") else process.name()
    title = title.removeprefix("ray::ServeReplica:").partition(" (")[0]  # Ray's dashboard adds a command line
    return _VARYING.sub(lambda found: found[1] or "", title) or "?"


def trends(holdings: list[Holding]) -> list[Trend]:
    """Of each name whose number of processes did not change, or of the times when it was the usual one."""
    by_name: dict[str, list[Holding]] = defaultdict(list)
    warm_at = WARMING * max((each.at for each in holdings), default=0.0)
    for each in holdings:
        if each.at >= warm_at:
            by_name[each.name].append(each)
    found = []
    for name, series in sorted(by_name.items()):
        numbers = [each.processes for each in series]
        usual = [each for each in series if each.processes == max(set(numbers), key=numbers.count)]
        if len(usual) >= FEWEST:
            found.append(_trend(name, usual))
    return found


def _trend(name: str, series: list[Holding]) -> Trend:
    hours = [each.at / 3600 for each in series]

    def growth(values: list[float]) -> float:
        return linear_regression(hours, values).slope

    rss, fds, threads = (
        [float(getattr(each, what)) for each in series] for what in ("rss_mb", "fds", "threads")
    )
    return Trend(
        name=name,
        samples=len(series),
        rss_mb=mean(rss),
        rss_mb_per_hour=growth(rss),
        fds=mean(fds),
        fds_per_hour=growth(fds),
        threads=mean(threads),
        threads_per_hour=growth(threads),
    )
