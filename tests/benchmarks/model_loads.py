"""Loads of each demo model, and of another model of a family that is loaded: what differs is exchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from configs.registry import BUILTIN_FILE, read_models
from tests.benchmarks.figures import Figure, milliseconds

#: A model, and a fine-tune of it that has a transformer of its own.
BASE, TUNED = "demo-flux", "demo-flux-outline"
LOADS = "Loads, beyond the imports"
HEADING = f"Switch within a family, {BASE} to {TUNED}"

#: Loads a model, freshly or in place of the one that is loaded; seconds.
Load = Callable[[str, bool], float]


def measure(count: int) -> Iterator[Figure]:
    """In one process, in turn; files are in the page cache, imports are done."""
    with _families() as load:
        load(TUNED, True)
        load(BASE, False)
        pairs = [(load(TUNED, True), load(BASE, False), load(TUNED, False)) for _ in range(count)]
    full = [each for each, _, _ in pairs]
    switch = [each for _, _, each in pairs]
    yield milliseconds(HEADING, "full load", full, "request to first step: all components")
    yield milliseconds(HEADING, "switch", switch, "only the transformer and the scheduler")
    ratios = [some / everything for some, everything in zip(switch, full, strict=True)]
    yield Figure(heading=HEADING, name="  ratio", unit="x", samples=tuple(ratios), note="pairs")


def of_demos(count: int) -> Iterator[Figure]:
    """In one process, everything anew each time; the first load, with the imports, does not count."""
    with _families() as load:
        for model in (spec.name for spec in read_models(BUILTIN_FILE) if spec.demo):
            load(model, True)
            loads = [load(model, True) for _ in range(count)]
            yield milliseconds(LOADS, model, loads, "request to first step: all components")


@contextmanager
def _families() -> Iterator[Load]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.loads"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    ask, answers = process.stdin, process.stdout

    def load(model: str, fresh: bool) -> float:
        print(json.dumps({"model": model, "fresh": fresh}), file=ask, flush=True)
        return float(json.loads(answers.readline()))

    try:
        yield load
    finally:
        ask.close()
        process.wait(30)
