"""Command line of the chaos test. Exit code 1 if something was lost, doubled, orphaned or inconsistent."""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.campaign import Campaign
from tests.chaos.machine import Machine
from tests.chaos.table import lines
from tests.chaos.victims import SORTS


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        home = Path(folder) / "home"
        machine = Machine.of_one_process(home) if options.light else Machine.real(home, lease_s=10)
        campaign = Campaign(
            machine,
            kills=options.kills,
            sorts=("machine",) if options.light else options.only or SORTS,
            seed=options.seed,
            minutes=options.minutes,
        )
        begun = time.monotonic()
        try:
            outcome = campaign.run(tell=lambda words: print(words, flush=True))
        finally:
            machine.end()
    print(f"\nSeed {options.seed}, {(time.monotonic() - begun) / 60:.0f} minutes.\n")
    print("\n".join(lines(outcome)))
    return int(bool(outcome.verdict.wrong))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="kill nothing after so many")
    parser.add_argument("--only", choices=SORTS, action="append", help="only such victims; may be repeated")
    parser.add_argument(
        "--light", action="store_true", help="a server without Ray that draws circles, killed as a whole"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
