"""`python -m tests.benchmarks`: every figure in one run, as a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.benchmarks import added_time, cold_start, first_picture, throughput
from tests.benchmarks.figures import Figure, table
from tests.benchmarks.machine import surroundings
from tests.benchmarks.server import serving

ROOT = Path(__file__).resolve().parents[2]
#: Warm for longer than the benchmarks take.
WARM_S = 3600


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
        "clone": lambda: _first_picture(options, folder),
    }
    for name in options.only or parts:
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
    with serving(folder / "swap", keep_warm_s=WARM_S) as server:
        yield from cold_start.swap(server, options.starts)


def _first_picture(options: argparse.Namespace, folder: Path) -> Iterator[Figure]:
    yield from first_picture.measure(options.clone, folder)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--count", type=int, default=20, help="pictures for the added time (20)")
    parser.add_argument("--starts", type=int, default=5, help="starts from zero, and swaps (5)")
    parser.add_argument("--seconds", type=float, default=3, help="of load for each rate (3)")
    parser.add_argument("--clone", metavar="REPOSITORY", default=str(ROOT), help="what to clone (this one)")
    parser.add_argument("--only", nargs="+", choices=("added", "rates", "cold", "clone"))
    parser.add_argument("--json", action="store_true", help="a line of JSON a figure")
    return parser.parse_args()


if __name__ == "__main__":
    main()
