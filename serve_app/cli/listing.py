"""`jobs`, `models` and `status`: what the server has, does and offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from configs.models import ModelSpec
from serve_app.cli.client import Client
from serve_app.cli.errors import NoServer
from serve_app.cli.fitting import Memory, judge
from serve_app.cli.options import ApiKey, AsJson, Url
from serve_app.cli.render import gigabytes, local_time, one_line, print_json, print_table, seconds
from serve_app.cli.surroundings import Surroundings, surroundings

Status = Annotated[
    str | None,
    typer.Option("--status", help="pending, processing, completed, failed or cancelled.", show_default="all"),
]


def jobs(
    context: typer.Context,
    status: Status = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Of one model.", show_default="all")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 20,
    url: Url = None,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    around = surroundings(context)
    with around.connect(url, api_key) as client:
        found = list(client.jobs(limit=limit, status=status, model=model))
    if as_json:
        print_json(found, around.out)
    elif not found:
        around.err.print("no jobs")
    else:
        columns = ("ID", "STATUS", "MODEL", "CREATED", "PROMPT")
        print_table(columns, [_job_row(job) for job in found], around.out, shortened="PROMPT")


def _job_row(job: Mapping[str, Any]) -> tuple[str, ...]:
    status = str(job["status"])
    percent = (job.get("progress") or {}).get("percent")
    if status == "processing" and percent is not None:
        status += f" {percent:.0f}%"
    created = local_time(str(job.get("created_at") or ""))
    return (
        str(job["id"]),
        status,
        str(job.get("model_id") or ""),
        created,
        one_line(str(job.get("prompt") or "")),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    """One model: what is known of it here, and what the server says. None where nobody said."""

    name: str
    type: str
    licence: str | None
    download_gb: float | None
    memory_gb: float | None
    loaded: bool | None
    available: bool | None
    reason: str | None
    fits: str | None


def models(context: typer.Context, url: Url = None, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """List models: licence, size, whether each is loaded, and whether it fits this machine."""
    around = surroundings(context)
    with around.connect(url, api_key) as client:
        rows = _model_rows(client, around)
    if as_json:
        print_json([asdict(row) for row in rows], around.out)
        return
    columns = ("NAME", "TYPE", "MEMORY", "DOWNLOAD", "STATE", "LICENCE", "FITS HERE")
    print_table(columns, [_model_cells(row) for row in rows], around.out, folded={"LICENCE", "FITS HERE"})


def _model_rows(client: Client, around: Surroundings) -> list[ModelRow]:
    """The server's models; those of this machine's registry if no server runs."""
    settings = around.load_settings()
    registry = around.load_registry(settings)
    try:
        served: Mapping[str, Mapping[str, Any]] = client.models()["models"]
    except NoServer:
        if not client.is_local:
            raise
        around.err.print(f"no server at {client.url}: these are the models that it would serve")
        served = {name: {} for name in registry}
    fits = _fits(registry, around.memory()) if client.is_local else {}
    return [_model_row(name, entry, registry.get(name), fits.get(name)) for name, entry in served.items()]


def _fits(registry: Mapping[str, ModelSpec], memory: Memory) -> dict[str, str]:
    return {name: str(judge(spec, memory)) for name, spec in registry.items()}


def _model_row(name: str, entry: Mapping[str, Any], spec: ModelSpec | None, fits: str | None) -> ModelRow:
    licence = entry.get("licence") or (spec.licence.model_dump() if spec else None)
    return ModelRow(
        name=name,
        type=str(entry.get("type") or (spec.type if spec else "")),
        licence=licence.get("name") if isinstance(licence, Mapping) else licence,
        download_gb=entry.get("download_gb", spec.download_gb if spec else None),
        memory_gb=entry.get("memory_gb", spec.memory_gb if spec else None),
        loaded=entry.get("loaded"),
        available=entry.get("available"),
        reason=entry.get("reason"),
        fits=fits,
    )


def _model_cells(row: ModelRow) -> tuple[str, ...]:
    return (
        row.name,
        row.type,
        _size(row.memory_gb),
        _size(row.download_gb),
        _state(row),
        row.licence or "?",
        row.reason or row.fits or "",
    )


def _size(value: float | None) -> str:
    return "-" if not value else gigabytes(value)


def _state(row: ModelRow) -> str:
    if row.loaded:
        return "loaded"
    return {True: "available", False: "unavailable", None: "-"}[row.available]


def status(context: typer.Context, url: Url = None, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """Show health, queue, deployments and GPUs. Exit code 1 if the server cannot take jobs."""
    around = surroundings(context)
    with around.connect(url, api_key) as client:
        healthy, health = client.health()
        queue = client.queue()
    if as_json:
        print_json({"url": client.url, "healthy": healthy, "health": health, "queue": queue}, around.out)
    else:
        around.out.print("\n".join(_status_lines(client.url, health, queue)))
    if not healthy:
        raise typer.Exit(1)


def _status_lines(url: str, health: Mapping[str, Any], queue: Mapping[str, Any]) -> Iterable[str]:
    version = f", version {health['version']}" if health.get("version") else ""
    device = f", on {health['device']}" if health.get("device") else ""
    reason = f": {health['reason']}" if health.get("reason") else ""
    yield f"server       {url} is {health.get('status', 'unknown')}{version}{device}{reason}"
    states = ("pending", "processing", "completed", "failed", "cancelled")
    paused = " (paused)" if queue.get("paused") else ""
    yield "queue        " + ", ".join(f"{queue.get(state, 0)} {state}" for state in states) + paused
    gpus = queue.get("gpus") or {}
    if gpus.get("total") is not None:
        yield f"GPUs         {gpus.get('used') or 0:g} of {gpus['total']:g} in use"
    for name, deployment in (queue.get("deployments") or {}).items():
        yield f"deployment   {name}: {', '.join(_deployment_words(deployment))}"


def _deployment_words(deployment: Mapping[str, Any]) -> Iterable[str]:
    replicas = deployment.get("replicas") or 0
    yield f"{replicas} replica{'' if replicas == 1 else 's'}"
    if deployment.get("starting"):
        yield f"{deployment['starting']} starting"
    if deployment.get("state"):
        yield str(deployment["state"]).lower()
    if deployment.get("loaded_model"):
        yield f"{deployment['loaded_model']} loaded"
    if deployment.get("running_jobs"):
        yield f"{deployment['running_jobs']} running"
    elif replicas and deployment.get("idle_seconds"):
        yield f"idle for {seconds(deployment['idle_seconds'])}"
