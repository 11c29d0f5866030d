"""Figures about jobs, told as they happen, for whoever collects them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from configs.models import ModelSpec
from storage.jobs import JobStatus, Warmth


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEnd:
    """How a run ended. Times are seconds; those of loading and running, and what the run found, are
    known of completed jobs only."""

    model: ModelSpec
    status: JobStatus
    wait_s: float
    load_s: float | None = None
    run_s: float | None = None
    warmth: Warmth | None = None


class Meter(Protocol):
    """Takes figures. Calls return at once and never fail."""

    def ended(self, end: RunEnd) -> None: ...

    def waiting(self, numbers: Mapping[str, int], registry: Mapping[str, ModelSpec]) -> None:
        """Numbers of waiting jobs by model; none for the models of the registry that are not there."""
        ...


class NoMeter:
    """Implements Meter where nobody collects."""

    def ended(self, end: RunEnd) -> None:
        pass

    def waiting(self, numbers: Mapping[str, int], registry: Mapping[str, ModelSpec]) -> None:
        pass
