"""`doctor`: what this machine can serve, and why not the rest."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Literal

import typer

from configs.models import ModelSpec
from serve_app.cli.machine import Machine
from serve_app.cli.options import AsJson, DataDir, Models
from serve_app.cli.render import gigabytes, print_json, print_table
from serve_app.cli.surroundings import Surroundings, surroundings
from serve_app.cli.verdict import Verdict, verdict
from serve_app.cli.weights import WeightState

Mark = Literal["ok", "note", "problem"]
Finding = tuple[Mark, str]
ASK_TORCH = "from deployments.placement import unusable_gpu; print(unusable_gpu() or '')"
OTHER_MODELS = "`cyberimage up --models full` serves the full-size models, `--models demo` the demos"


def doctor(
    context: typer.Context, data_dir: DataDir = None, models: Models = None, as_json: AsJson = False
) -> None:
    """Say what this machine can serve, and why not the rest. Exit code 1 only if it can serve nothing."""
    around = surroundings(context)
    settings = around.load_settings(data_dir=data_dir, models=models)
    served = set(around.load_registry(settings))
    machine = around.probe(settings)
    known = around.known_models(settings)
    problem = gpu_problem() if machine.gpus else None
    verdicts = [
        _verdict(spec, machine, around.weight_state(spec, settings), problem) for spec in known.values()
    ]
    able = can_serve(machine) and any(v.servable for v in verdicts)
    if as_json:
        found = {"able": able, "machine": asdict(machine), "gpu_problem": problem}
        print_json(found | {"models": [asdict(v) for v in verdicts]}, around.out)
    else:
        _print(findings(machine, problem), known, verdicts, served, around)
    if not able:
        around.err.print("error: this machine cannot serve any model as it is", style="red")
        raise typer.Exit(1)


def can_serve(machine: Machine) -> bool:
    """Whether the server itself can start, whatever the models."""
    return machine.ray_problem is None and machine.data_dir_writable


def gpu_problem() -> str | None:
    """Why models cannot use the GPUs; None if they can. Another process asks, to keep torch out of this."""
    try:
        reply = subprocess.run([sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if reply.returncode == 0:
        return reply.stdout.strip() or None
    return (reply.stderr.strip().splitlines() or ["torch cannot be imported"])[-1]


def findings(machine: Machine, gpu_problem: str | None = None) -> Iterable[Finding]:
    """What there is to say of the machine, in the order of a checklist."""
    yield "ok", f"Python {machine.python}"
    yield (
        ("problem", f"Ray cannot be imported: {machine.ray_problem}")
        if machine.ray_problem
        else ("ok", "Ray")
    )
    yield "ok", f"CPU cores: {machine.cpu_cores}, RAM: {machine.ram_gb:.1f} GiB"
    yield from _gpus(machine)
    if gpu_problem is not None:
        yield "problem", f"the GPU cannot be used: {gpu_problem}"
    yield from _folders(machine)
    yield from _hub(machine)
    if machine.port_free:
        yield "ok", f"port {machine.port} is free"
    else:
        yield "note", f"port {machine.port} is in use: the next free one is taken, unless --port asks for it"


def _verdict(spec: ModelSpec, machine: Machine, weights: WeightState, gpu_problem: str | None) -> Verdict:
    """With a GPU that cannot be used, only the demo models run."""
    if gpu_problem is None:
        return verdict(spec, machine, weights)
    if spec.demo:
        return verdict(spec, replace(machine, gpus=()), weights)
    return Verdict(model=spec.name, servable=False, text="the GPU cannot be used")


def _gpus(machine: Machine) -> Iterable[Finding]:
    if not machine.gpus:
        yield "note", "no NVIDIA GPU found by nvidia-smi: models run on the CPU"
    for gpu in machine.gpus:
        yield "ok", f"{gpu.name}, {gpu.memory / 2**30:.1f} GiB, {gpu.free_memory / 2**30:.1f} GiB free"


def _folders(machine: Machine) -> Iterable[Finding]:
    if machine.data_dir_writable:
        yield "ok", f"data in {machine.data_dir}, {gigabytes(machine.data_disk_free_gb)} free"
    else:
        yield "problem", f"cannot write to {machine.data_dir}: give `cyberimage up --data-dir`"
    yield "ok", f"weights in {machine.weights_dir}, {gigabytes(machine.weights_disk_free_gb)} free"


def _hub(machine: Machine) -> Iterable[Finding]:
    if machine.has_token:
        yield "ok", "a Hugging Face token is set"
    else:
        yield "note", "HF_TOKEN is not set: gated models cannot be downloaded"
    if machine.hub_offline:
        yield "note", "HF_HUB_OFFLINE is set: nothing will be downloaded"


def _print(
    found: Iterable[Finding],
    known: dict[str, ModelSpec],
    verdicts: list[Verdict],
    served: set[str],
    around: Surroundings,
) -> None:
    styles = {"ok": "green", "note": "yellow", "problem": "red"}
    for mark, text in found:
        around.out.print(f"{mark:<8}{text}", style=styles[mark] if mark != "ok" else "")
    around.out.print()
    rows = [
        (v.model, known[v.model].type, _yes(v.model in served), _yes(v.servable), v.text) for v in verdicts
    ]
    print_table(("MODEL", "TYPE", "SERVED", "CAN RUN", "WHY"), rows, around.out, folded={"WHY"})
    if any(v.servable and v.model not in served for v in verdicts):
        around.out.print()
        around.out.print(OTHER_MODELS)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
