"""What a run of the simulation is judged by, and what no policy could better."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from serve_app.arbiter import longest_wait_s
from serve_app.simulation import Outcome, Work
from tests.simulation.loads import SPREAD, run_seconds
from tests.simulation.models import MODELS


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Seconds; waits are from arrival to start. Mean over the draws of a load, but waits over all jobs."""

    mean_s: float
    p95_s: float
    picture_mean_s: float
    picture_p95_s: float
    clip_p95_s: float
    longest_s: float
    makespan_s: float
    swaps: float
    running: float
    loading: float


def figures(works: Sequence[Sequence[Work]], outcomes: Sequence[Outcome], gpus: float) -> Figures:
    """`works[k]` became `outcomes[k]`."""
    pictures, clips = [], []
    for work, outcome in zip(works, outcomes, strict=True):
        for each in work:
            waits = pictures if MODELS[each.job.model].picture else clips
            waits.append(outcome.runs[each.job.id].wait_s)
    time = sum(outcome.makespan_s for outcome in outcomes) * gpus
    return Figures(
        mean_s=fmean(pictures + clips),
        p95_s=percentile(pictures + clips, 0.95),
        picture_mean_s=fmean(pictures),
        picture_p95_s=percentile(pictures, 0.95),
        clip_p95_s=percentile(clips, 0.95),
        longest_s=max(pictures + clips),
        makespan_s=fmean(outcome.makespan_s for outcome in outcomes),
        swaps=fmean(outcome.loads + outcome.switches for outcome in outcomes),
        running=sum(outcome.run_gpu_s for outcome in outcomes) / time,
        loading=sum(outcome.load_gpu_s for outcome in outcomes) / time,
    )


def percentile(values: Iterable[float], part: float) -> float:
    """The smallest value that `part` of them do not exceed; 0 without any."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else 0.0


def least_makespan_s(work: Sequence[Work], gpus: float) -> float:
    """No policy is done sooner: what comes after any moment has to run after it, and a job on one GPU."""
    left, least = 0.0, 0.0
    for each in reversed(work):
        left += run_seconds(each)
        least = max(least, each.arrives_s + left / gpus, each.arrives_s + run_seconds(each))
    return least


def least_mean_wait_s(work: Sequence[Work], gpus: float) -> float:
    """No policy has a smaller mean: one GPU as fast as all together, no loads, the shortest rest first."""
    arrivals = sorted((each.arrives_s, run_seconds(each)) for each in work)
    clock, place, total = 0.0, 0, 0.0
    rests: list[float] = []
    while place < len(arrivals) or rests:
        if not rests:
            clock = max(clock, arrivals[place][0])
        while place < len(arrivals) and arrivals[place][0] <= clock:
            heapq.heappush(rests, arrivals[place][1])
            place += 1
        rest = heapq.heappop(rests)
        coming = arrivals[place][0] if place < len(arrivals) else math.inf
        done = min(rest, (coming - clock) * gpus)
        clock = clock + rest / gpus if done == rest else coming
        if done < rest:
            heapq.heappush(rests, rest - done)
        else:
            total += clock
    flow = total - sum(arrives_s for arrives_s, _ in arrivals)
    return max(0.0, (flow - sum(run_s for _, run_s in arrivals)) / len(work))


def promise_kept(work: Sequence[Work], outcome: Outcome, gpus: float, max_overtake_s: float) -> float:
    """The largest part of its promised longest wait that any job has waited; at most 1.

    The jobs are in order of arrival, of one priority and one client, each on a GPU of its own.
    """
    runs = [outcome.runs[each.job.id] for each in work]
    longest_s = max(run.end_s - run.start_s for run in runs)
    overrun_s = max(each.job.run_s for each in work) * SPREAD
    worst = 0.0
    for place, run in enumerate(runs):
        before = list(zip(runs[:place], work[:place], strict=True))
        ahead = [each.job for other, each in before if other.start_s >= run.arrives_s]
        promised = longest_wait_s(
            work[place].job,
            ahead,
            [other.end_s - run.arrives_s for other in runs if other.start_s < run.arrives_s < other.end_s],
            gpus=gpus,
            max_overtake_s=max_overtake_s,
            longest_s=longest_s,
            overrun_s=overrun_s,
        )
        worst = max(worst, run.wait_s / promised)
    return worst
