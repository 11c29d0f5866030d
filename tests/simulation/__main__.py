"""Prints the figures of every policy on every load, and draws them: `make simulate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

from serve_app.arbiter import Deployment
from serve_app.simulation import Outcome, Work, simulate
from tests.simulation.chart import Row, draw_chart
from tests.simulation.figures import figures, least_makespan_s, least_mean_wait_s, promise_kept
from tests.simulation.loads import MIXES, Load, draw
from tests.simulation.models import MODELS
from tests.simulation.plan_time import report
from tests.simulation.policies import MAX_OVERTAKE_S, OURS, POLICIES
from tests.simulation.story import draw_story

#: Where SHARING.md finds its pictures.
FOLDER = Path(__file__).resolve().parents[2] / "serve_app"
#: GPUs, mixes, jobs, and how many times each load is drawn.
SIZES = (
    (1, tuple(MIXES), 800, 2),
    (4, tuple(MIXES), 1200, 1),
    (16, ("all families",), 2000, 1),
    (64, ("all families",), 4000, 1),
)
#: The loads shown are drawn from seeds on which nothing was tuned.
FIRST_SEED = 1000
HEAD = f"{'':18} {'mean wait':>10} {'p95':>7} {'pictures p95':>13} {'longest':>8} {'makespan':>9} "
HEAD += f"{'swaps':>6} {'run':>5} {'load':>5}"


def main() -> None:
    options = _options()
    seed = FIRST_SEED if options.seed is None else options.seed
    rows = []
    for gpus, mixes, jobs, draws in SIZES:
        for mix in mixes:
            for bursty in (False, True):
                load = Load(mix=mix, bursty=bursty, gpus=gpus, jobs=jobs)
                rows.append(_compare(load, [draw(load, seed + k) for k in range(draws)]))
    _summarise(rows)
    report()
    if options.seed is None:
        (FOLDER / "sharing.svg").write_text(draw_story(), "utf-8")
        (FOLDER / "sharing_figures.svg").write_text(draw_chart(rows), "utf-8")
        print(f"\nDrawn: {FOLDER / 'sharing.svg'}, {FOLDER / 'sharing_figures.svg'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    text = f"first seed of the loads ({FIRST_SEED}); with another one nothing is drawn"
    parser.add_argument("--seed", type=int, help=text)
    return parser.parse_args()


def _compare(load: Load, works: list[list[Work]]) -> Row:
    """Waits in seconds; run and load as parts of all GPU time."""
    print(f"\n{load.name}: {load.jobs} jobs, {len(works)} times\n{HEAD}", flush=True)
    found = {}
    for name in POLICIES:
        outcomes = [_run(work, name, load.gpus) for work in works]
        each = found[name] = figures(works, outcomes, load.gpus)
        print(
            f"{name:18} {each.mean_s:10.0f} {each.p95_s:7.0f} {each.picture_p95_s:13.0f} "
            f"{each.longest_s:8.0f} {each.makespan_s:9.0f} {each.swaps:6.0f} {each.running:5.0%} "
            f"{each.loading:5.0%}",
            flush=True,
        )
        if name == OURS:
            kept = [
                promise_kept(w, o, load.gpus, MAX_OVERTAKE_S) for w, o in zip(works, outcomes, strict=True)
            ]
    least_s = fmean(least_makespan_s(work, load.gpus) for work in works)
    least_wait_s = fmean(least_mean_wait_s(work, load.gpus) for work in works)
    print(f"{'at least':18} {least_wait_s:10.0f} {'':30} {least_s:9.0f}")
    row = Row(name=load.name, figures=found, least_s=least_s, kept=max(kept))
    print(_verdict(row))
    return row


def _verdict(row: Row) -> str:
    return (
        f"ours: pictures' p95 {row.pictures:.0%} of FIFO's, makespan {row.later:+.1%} to the others' best, "
        f"no job waited more than {row.kept:.0%} of its promised longest wait"
    )


def _summarise(rows: list[Row]) -> None:
    print("\nOurs on all loads:")
    for row in rows:
        print(f"{row.name:34} {_verdict(row).removeprefix('ours: ')}")


def _run(work: list[Work], policy: str, gpus: int) -> Outcome:
    names = sorted({model.deployment for model in MODELS.values()})
    deployments = [Deployment(name=name, max_replicas=gpus) for name in names]
    # The longest queue is found by counting all of them.
    lookahead = len(work) if policy == "longest queue" else None
    outcome = simulate(work, deployments, gpus=gpus, policy=POLICIES[policy](), lookahead=lookahead)
    assert outcome.most_gpus <= gpus, policy
    return outcome


if __name__ == "__main__":
    main()
