"""Command line of the soak: jobs without end on a fresh server, samples, a plot and a table of what grows."""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tests import processes
from tests.chaos.campaign import upload
from tests.chaos.crowd import CLIP, Call, Crowd, Kind, Wish
from tests.chaos.machine import Machine
from tests.soak.plot import Point, draw
from tests.soak.samples import Holding, Trend, look, trends

#: Seconds between two samples, and the time over which a latency is told.
SAMPLE_S, WINDOW_S = 5.0, 30.0
#: The smallest pictures, and now and then another family, so that models come and go.
WISHES: tuple[Wish, ...] = (
    ("demo-flux", {"width": 64, "height": 64, "num_inference_steps": 1, "num_images": 1}, 300),
    ("demo-sd35", {"width": 64, "height": 64, "num_inference_steps": 2, "num_images": 1}, 3),
    ("demo-wan-t2v", CLIP, 1),
    ("demo-ltx-i2v", CLIP, 1),
)


def main() -> None:
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        machine = Machine.of_one_process(home) if options.light else Machine.real(home)
        try:
            machine.up()
            crowd = Crowd(machine.url, 0, lambda: source_id, WISHES)
            source_id = upload(machine.url)
            began = time.monotonic()
            crowd.begin()
            holdings = list(_samples(machine, began, 60 * options.minutes))
            crowd.end()
        finally:
            machine.end()
    calls = [call for call in crowd.promises.calls if call.answered]
    panels = {
        "Memory, MB (resident; shared pages count in each process)": _series(holdings, "rss_mb"),
        "Open files": _series(holdings, "fds"),
        "Threads": _series(holdings, "threads"),
        "Latency, ms: 99 of 100 replies came within": _latencies(calls, began),
    }
    jobs = f"{len(crowd.promises.accepted)} jobs in {options.minutes:g} minutes"
    lines = (json.dumps(asdict(each)) for each in holdings)
    (options.out / "samples.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    (options.out / "soak.svg").write_text(draw(f"Soak: {jobs}", panels), "utf-8")
    print(f"{jobs}, {crowd.completions} completed. Drawn in {options.out / 'soak.svg'}.\n")
    print("\n".join(_table(trends(holdings))))


def _samples(machine: Machine, began: float, seconds: float) -> Iterator[Holding]:
    while (at := time.monotonic() - began) < seconds:
        yield from look(processes.tree(machine.pid), at)
        time.sleep(max(0.0, SAMPLE_S - (time.monotonic() - began - at)))


def _series(holdings: Sequence[Holding], what: str) -> dict[str, list[Point]]:
    series: dict[str, list[Point]] = defaultdict(list)
    for each in holdings:
        series[each.name].append((each.at / 60, float(getattr(each, what))))
    return series


def _latencies(calls: Sequence[Call], began: float) -> dict[str, list[Point]]:
    kinds: tuple[Kind, ...] = ("status", "submit")
    series: dict[str, list[Point]] = {}
    for kind in kinds:
        windows: dict[int, list[float]] = defaultdict(list)
        for call in calls:
            if call.kind == kind:
                windows[int((call.began - began) // WINDOW_S)].append(call.took_s)
        series[kind] = [
            ((number + 0.5) * WINDOW_S / 60, 1000 * sorted(took)[math.ceil(0.99 * len(took)) - 1])
            for number, took in sorted(windows.items())
        ]
    return {kind: points for kind, points in series.items() if points}


def _table(found: list[Trend]) -> Iterator[str]:
    yield "| process | samples | MB | MB an hour | files | an hour | threads | an hour |"
    yield "|---|---|---|---|---|---|---|---|"
    for each in found:
        memory = f"{each.rss_mb:.0f} | {each.rss_mb_per_hour:+.0f}"
        files = f"{each.fds:.0f} | {each.fds_per_hour:+.0f}"
        threads = f"{each.threads:.0f} | {each.threads_per_hour:+.0f}"
        yield f"| {each.name} | {each.samples} | {memory} | {files} | {threads} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument(
        "--light",
        action="store_true",
        help="a server without Ray that draws circles: many more jobs",
    )
    parser.add_argument("--out", type=Path, default=Path("out/soak"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
