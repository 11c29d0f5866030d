"""`python -m tests.benchmarks`: every figure in one run, as a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import (
    added_time,
    batches,
    cancels,
    cold_start,
    first_picture,
    model_loads,
    read_ahead,
    sharing,
    swap,
    throughput,
)
from tests.benchmarks.figures import Figure, table
from tests.benchmarks.machine import surroundings
from tests.benchmarks.server import serving

SWAP = "Swap of families on one GPU"
ROOT = Path(__file__).resolve().parents[2]
#: Warm for longer than the benchmarks take.
WARM_S = 3600
#: What is measured unless told otherwise; sharing takes many minutes (`make bench-sharing`).
USUAL = ("added", "rates", "cold", "swap", "batch", "cancel", "clone")


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="cyberimage-bench-") as folder:
        around = surroundings(Path(folder))
        figures = list(_measure(options, Path(folder)))
    if options.json:
        print("\n".join(figure.to_json() for figure in figures))
    else:
        print(table(around, figures))


def _measure(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    parts: dict[str, Callable[[], Iterator[Figure]]] = {
        "added": lambda: _added_time(options, folder),
        "rates": lambda: _throughput(options, folder),
        "cold": lambda: _cold_start(options, folder),
        "swap": lambda: _swap(options, folder),
        "batch": lambda: batches.measure(folder / "batch"),
        "cancel": lambda: _cancels(options, folder),
        "clone": lambda: _first_picture(options, folder),
        "eta": lambda: sharing.foretold_only(folder, options.jobs),
        "sharing": lambda: sharing.measure(folder, options.jobs, options.gpus),
    }
    for name in options.only or USUAL:
        print(f"measuring: {name} ...", file=sys.stderr)
        yield from parts[name]()


def _added_time(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    with serving(folder / "added", keep_warm_s=WARM_S) as server:
        yield from added_time.measure(server, options.count)


def _throughput(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    yield from throughput.measure(folder, options.seconds)


def _cold_start(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    with serving(folder / "cold", keep_warm_s=0) as server:
        yield from cold_start.from_zero(server, options.starts)


def _swap(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    settings = {"keep_warm_s": WARM_S, "max_overtake_s": 0, "gpus": 1}
    with serving(folder / "swap", **settings) as server:
        yield from swap.measure(server, options.starts, heading=SWAP)
    with serving(folder / "unprepared", preload=False, **settings) as server:
        yield from swap.measure(server, options.starts, heading=f"{SWAP}, nothing prepared")
    yield from model_loads.measure(options.starts)
    yield from model_loads.of_demos(options.starts)
    yield from read_ahead.measure(folder, options.starts)


def _cancels(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    with serving(folder / "cancel", keep_warm_s=WARM_S, stop_within_s=cancels.BOUND_S) as server:
        yield from cancels.measure(server, options.cancels)


def _first_picture(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    yield from first_picture.measure(options.clone, folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="pictures for the added time (20)")
    parser.add_argument("--starts", type=int, default=5, help="starts from zero, and swaps of each kind (5)")
    parser.add_argument("--seconds", type=float, default=3, help="of load for each rate (3)")
    parser.add_argument("--cancels", type=int, default=10, help="in each phase of a job (10)")
    parser.add_argument("--clone", metavar="REPOSITORY", default=str(ROOT), help="what to clone (this one)")
    parser.add_argument("--jobs", type=int, default=sharing.JOBS, help="of the mixed load (60)")
    parser.add_argument("--gpus", type=int, nargs="+", default=[1, 2], help="logical GPUs to share (1 2)")
    parser.add_argument("--only", nargs="+", choices=(*USUAL, "eta", "sharing"))
    parser.add_argument("--json", action="store_true", help="a line of JSON a figure")
    return parser.parse_args()


if __name__ == "__main__":
    main()
