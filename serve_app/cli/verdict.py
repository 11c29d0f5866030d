"""Whether a machine can serve a model, and what is missing. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from configs.models import ModelSpec
from serve_app.cli.fitting import judge
from serve_app.cli.machine import Machine
from serve_app.cli.render import gigabytes
from serve_app.cli.weights import WeightState


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`servable` as things stand, a download included; `text` is the sentence for the person."""

    model: str
    servable: bool
    text: str


def verdict(spec: ModelSpec, machine: Machine, weights: WeightState) -> Verdict:
    fitting = judge(spec, machine.memory)
    problem = _missing(spec, machine, weights) if fitting.runs else None
    if problem is not None:
        return Verdict(model=spec.name, servable=False, text=f"{fitting.fit.value}, but {problem}")
    text = str(fitting)
    if fitting.runs and not weights.present:
        text += f"; needs a download of {_download(weights, machine)}"
    return Verdict(model=spec.name, servable=fitting.runs, text=text)


def _missing(spec: ModelSpec, machine: Machine, weights: WeightState) -> str | None:
    """What stands between this machine and the weights; None if nothing does."""
    if weights.present:
        return None
    if not weights.downloadable:
        return f"its files are missing: {spec.repo}"
    if machine.hub_offline:
        return "it is not downloaded, and HF_HUB_OFFLINE forbids it"
    if spec.requires_auth and not machine.has_token:
        page = f"accept the licence at {spec.licence.url} and " if spec.licence.url else ""
        return f"it needs a token: {page}set HF_TOKEN"
    if weights.missing_gb > machine.weights_disk_free_gb:
        return f"it needs a download of {_download(weights, machine)}"
    return None


def _download(weights: WeightState, machine: Machine) -> str:
    return f"{gigabytes(weights.missing_gb)} with {gigabytes(machine.weights_disk_free_gb)} free"
