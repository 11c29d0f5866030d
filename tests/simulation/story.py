"""A picture of a short queue on one GPU: in line, and as the arbiter has it."""

from __future__ import annotations

from serve_app.arbiter import Deployment
from serve_app.simulation import Outcome, Replica, Work, simulate
from tests.simulation.loads import work_of
from tests.simulation.models import MODELS
from tests.simulation.policies import FIFO, OURS, POLICIES
from tests.simulation.svg import Page

COLOURS = {"FLUX.1-dev": "#1f77b4", "SD 3.5 Large": "#2ca02c", "Wan 2.1 T2V": "#e07b39"}
LOADING = "#c9ced6"
#: Arrival in seconds, and model.
QUEUE = (
    [(0, "FLUX.1-dev"), (5, "Wan 2.1 T2V"), (10, "FLUX.1-dev"), (15, "SD 3.5 Large"), (20, "Wan 2.1 T2V")]
    + [(40 + 25 * k, "FLUX.1-dev") for k in range(8)]
    + [(50 + 20 * k, "SD 3.5 Large") for k in range(5)]
)
WIDTH, LEFT, TOP, ROW, BAR = 960.0, 16.0, 84.0, 104.0, 34.0


def draw_story() -> str:
    works = [work_of(model, number, arrives_s) for number, (arrives_s, model) in enumerate(sorted(QUEUE))]
    outcomes = {name: _run(works, name) for name in (FIFO, OURS)}
    longest = max(outcome.makespan_s for outcome in outcomes.values())
    page = Page(WIDTH, TOP + 2 * ROW + 36)
    page.text(LEFT, 26, "Sixteen pictures and two clips on one GPU", size=17)
    _legend(page)
    scale = (WIDTH - 2 * LEFT) / longest
    for row, (name, outcome) in enumerate(outcomes.items()):
        _strip(page, TOP + row * ROW, name, works, outcome, scale)
    _axis(page, TOP + 2 * ROW, longest, scale)
    return str(page)


def _run(works: list[Work], policy: str) -> Outcome:
    names = {each.job.deployment for each in works}
    loaded = [Replica(deployment="Flux", model="FLUX.1-dev")]
    deployments = [Deployment(name=name) for name in sorted(names)]
    return simulate(works, deployments, gpus=1, policy=POLICIES[policy](), replicas=loaded)


def _legend(page: Page) -> None:
    x = LEFT
    for name, colour in [*COLOURS.items(), ("loading a model", LOADING)]:
        page.box(x, 42, 14, 14, colour)
        page.text(x + 20, 54, name)
        x += 150


def _strip(page: Page, y: float, name: str, works: list[Work], outcome: Outcome, scale: float) -> None:
    pictures = [outcome.runs[each.job.id].wait_s for each in works if MODELS[each.job.model].picture]
    clips = [outcome.runs[each.job.id].wait_s for each in works if not MODELS[each.job.model].picture]
    page.text(LEFT, y + 14, {FIFO: "In line (FIFO)", OURS: "CyberImage"}[name], size=14)
    waits = f"a picture waits {_mean(pictures):.0f} s, a clip {_mean(clips):.0f} s on average"
    loads = f"{outcome.loads + outcome.switches} loads"
    page.text(
        WIDTH - LEFT, y + 14, f"{waits}; {loads}; all done after {outcome.makespan_s:.0f} s", anchor="end"
    )
    for each in works:
        run = outcome.runs[each.job.id]
        x, loaded = LEFT + run.start_s * scale, run.load_s * scale
        page.box(x, y + 24, max(loaded - 0.5, 0), BAR, LOADING, title="loading")
        title = f"{each.job.model}: came at {each.arrives_s:.0f} s, waited {run.wait_s:.0f} s"
        width = (run.end_s - run.start_s) * scale - loaded - 0.8
        page.box(x + loaded, y + 24, width, BAR, COLOURS[each.job.model], title=title)


def _axis(page: Page, y: float, longest: float, scale: float) -> None:
    page.line(LEFT, y, WIDTH - LEFT, y, "#8c959f")
    for seconds in range(0, int(longest) + 1, 120):
        page.line(LEFT + seconds * scale, y, LEFT + seconds * scale, y + 5, "#8c959f")
        page.text(LEFT + seconds * scale, y + 20, f"{seconds // 60} min", size=11, anchor="middle")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
