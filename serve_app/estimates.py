"""How long a job will take, from what completed jobs took. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import median
from typing import Any

from serve_app.arbiter import ASSUMED_LOAD_S, ASSUMED_RUN_S, ASSUMED_SWITCH_S
from storage.jobs import RunRecord, Warmth

#: Where nothing is recorded of a run that finds what it finds, the next best tells.
_NEXT_BEST = {
    Warmth.WARM: (Warmth.WARM,),
    Warmth.SWITCH: (Warmth.SWITCH, Warmth.COLD, Warmth.SWAP),
    Warmth.COLD: (Warmth.COLD, Warmth.SWAP),
    Warmth.SWAP: (Warmth.SWAP, Warmth.COLD),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """What the time of a pipeline call depends on. `guided`: each step runs the model twice."""

    width: int
    height: int
    steps: int
    frames: int
    outputs: int
    guided: bool

    @property
    def work(self) -> float:
        """Steps times pixels, over all frames and outputs."""
        return float(self.steps * self.width * self.height * self.frames * self.outputs)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """How far a run has come: seconds since its claim, less a download, and since its first step (None before
    it), and the share of its steps that are done."""

    elapsed_s: float
    running_s: float | None = None
    done: float = 0.0


def size_of(settings: Mapping[str, Any], batch_size: int = 1) -> Size:
    """The size of a call for `batch_size` jobs with these settings."""
    return Size(
        width=settings["width"],
        height=settings["height"],
        steps=settings["num_inference_steps"],
        frames=settings.get("num_frames") or 1,
        outputs=settings.get("num_images", 1) * batch_size,
        guided=settings.get("guidance_scale", 1) > 1,
    )


class Estimator:
    """Seconds by model and size, as medians of what was recorded."""

    def __init__(self, records: Iterable[RunRecord] = ()) -> None:
        runs: dict[str, dict[Size, list[float]]] = defaultdict(lambda: defaultdict(list))
        loads: dict[tuple[str, Warmth], list[float]] = defaultdict(list)
        for record in records:
            runs[record.model][size_of(record.settings, record.batch_size)].append(record.run_seconds)
            loads[record.model, record.warmth].append(record.load_seconds)
        self._runs = {model: _medians(by_size) for model, by_size in runs.items()}
        self._loads = {key: median(seconds) for key, seconds in loads.items()}
        self._any_loads = {
            warmth: median(seconds for (_, each), seconds in self._loads.items() if each is warmth)
            for warmth in {warmth for _, warmth in self._loads}
        }
        self._estimates: dict[tuple[str, Size], Estimate] = {}

    def run_s(self, model: str, settings: Mapping[str, Any], batch_size: int = 1) -> float | None:
        """From the first step to the end, of one call for so many such jobs. None: nothing is known.

        The median of runs of the same size; else the rate (seconds a unit of work) of the nearest size.
        """
        return self._run_s(model, size_of(settings, batch_size))

    def _run_s(self, model: str, size: Size) -> float | None:
        known = self._runs.get(model)
        if not known:
            return None
        if size in known:
            return known[size]
        nearest = min(known, key=lambda other: _distance(other, size))
        return known[nearest] * size.work / nearest.work

    def load_s(self, model: str, warmth: Warmth) -> float | None:
        """From the claim to the first step, less a download. None: nothing is known.

        Of a model that has run, but never so, the next best kind of start tells, or how others started.
        """
        if model not in self._runs:
            return None
        own = (self._loads.get((model, each)) for each in _NEXT_BEST[warmth])
        others = (self._any_loads.get(each) for each in _NEXT_BEST[warmth])
        return next((seconds for seconds in (*own, *others) if seconds is not None), None)

    def left_s(
        self, model: str, settings: Mapping[str, Any], stage: Stage, *, load: Warmth, batch_size: int = 1
    ) -> float | None:
        """Seconds until such a run ends that found what `load` says. None: nothing is known.

        The further it has come, the more its own pace counts against what others took.
        """
        run_s = self.run_s(model, settings, batch_size)
        if stage.running_s is None:
            load_s = self.load_s(model, load)
            if run_s is None or load_s is None:
                return None
            return max(0.0, load_s - stage.elapsed_s) + run_s
        usual = None if run_s is None else max(0.0, run_s - stage.running_s)
        if not stage.done:
            return usual
        by_pace = stage.running_s * (1 - stage.done) / stage.done
        return by_pace if usual is None else stage.done * by_pace + (1 - stage.done) * usual

    def estimate(self, model: str, settings: Mapping[str, Any]) -> Estimate:
        """Of a job alone. What passes before the first step though the model is loaded is part of the run.

        Quick for what was asked before: every plan asks it of every job that it looks at.
        """
        key = model, size_of(settings)
        if (found := self._estimates.get(key)) is None:
            found = self._estimates[key] = self._estimate(*key)
        return found

    def _estimate(self, model: str, size: Size) -> Estimate:
        run_s = self._run_s(model, size)
        if run_s is None:
            return Estimate()
        warm_s = self.load_s(model, Warmth.WARM) or 0.0
        load_s, switch_s = self.load_s(model, Warmth.SWAP), self.load_s(model, Warmth.SWITCH)
        return Estimate(
            run_s=run_s + warm_s,
            load_s=ASSUMED_LOAD_S if load_s is None else max(0.0, load_s - warm_s),
            switch_s=ASSUMED_SWITCH_S if switch_s is None else max(0.0, switch_s - warm_s),
            known=True,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Seconds as the arbiter counts them; assumed ones where nothing is `known` of the model."""

    run_s: float = ASSUMED_RUN_S
    load_s: float = ASSUMED_LOAD_S
    switch_s: float = ASSUMED_SWITCH_S
    known: bool = False


def _distance(one: Size, other: Size) -> tuple[bool, float]:
    return one.guided != other.guided, abs(log(one.work / other.work))


def _medians(by_size: Mapping[Size, Sequence[float]]) -> dict[Size, float]:
    return {size: median(seconds) for size, seconds in by_size.items()}
