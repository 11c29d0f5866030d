"""`generate`, `t2v` and `i2v`: submit a job, watch it, save what comes out."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from serve_app.cli.client import Client, JobKind
from serve_app.cli.errors import Interrupted, NoAnswer, NothingToDo
from serve_app.cli.follow import cancel_after_interrupt, completed, follow
from serve_app.cli.job_view import JobView
from serve_app.cli.options import ApiKey, AsJson, Url
from serve_app.cli.outputs import save_outputs
from serve_app.cli.progress import watching
from serve_app.cli.render import print_json
from serve_app.cli.surroundings import Surroundings, surroundings

#: Something that the demo models paint well, and any other model can.
EXAMPLE_PROMPT = "a large red circle on a blue background"
EXAMPLE_SEED = 1


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("must be a number")
    return value


Prompt = Annotated[str, typer.Argument(help="What to make.", show_default=False)]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="See `cyberimage models`.", show_default="the server's default"),
]
Negative = Annotated[str | None, typer.Option("--negative", help="What to keep out.", show_default=False)]
Width = Annotated[int | None, typer.Option("--width", help="In pixels.", show_default="the model's")]
Height = Annotated[int | None, typer.Option("--height", help="In pixels.", show_default="the model's")]
Steps = Annotated[int | None, typer.Option("--steps", help="Denoising steps.", show_default="the model's")]
Guidance = Annotated[
    float | None,
    typer.Option(
        "--guidance", help="How closely to follow the prompt.", show_default="the model's", callback=_finite
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", help="The same seed gives the same output.", show_default="random")
]
Count = Annotated[
    int | None, typer.Option("-n", "--num-images", help="How many; each has its own seed.", show_default="1")
]
Frames = Annotated[
    int | None, typer.Option("--frames", help="Length of the clip.", show_default="the model's")
]
Fps = Annotated[int | None, typer.Option("--fps", help="Frames per second.", show_default="the model's")]
Priority = Annotated[
    int | None,
    typer.Option(
        "--priority", help="Below 0: when nothing else waits. Above 0: ahead of others.", show_default="0"
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to save to.", file_okay=False)]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the job's id and leave it to the server.")]


def generate(
    context: typer.Context,
    prompt: Prompt,
    model: Model = None,
    negative: Negative = None,
    width: Width = None,
    height: Height = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = None,
    count: Count = None,
    priority: Priority = None,
    out: Out = Path(),
    url: Url = None,
    api_key: ApiKey = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Make a picture from a prompt."""
    around = surroundings(context)
    settings = _settings(width, height, steps, guidance, seed) | _given(num_images=count)
    with around.connect(url, api_key) as client:
        body = _body(
            "model_id", _model(client, "image", model), "prompt", prompt, negative, settings, priority
        )
        _run(Task(kind="image", body=body, out=out, no_wait=no_wait, as_json=as_json), client, around)


def t2v(
    context: typer.Context,
    prompt: Prompt,
    model: Model = None,
    negative: Negative = None,
    width: Width = None,
    height: Height = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = None,
    frames: Frames = None,
    fps: Fps = None,
    priority: Priority = None,
    out: Out = Path(),
    url: Url = None,
    api_key: ApiKey = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Make a clip from a prompt."""
    around = surroundings(context)
    settings = _settings(width, height, steps, guidance, seed) | _given(num_frames=frames, fps=fps)
    with around.connect(url, api_key) as client:
        body = _body("model_id", _model(client, "t2v", model), "prompt", prompt, negative, settings, priority)
        _run(Task(kind="t2v", body=body, out=out, no_wait=no_wait, as_json=as_json), client, around)


def i2v(
    context: typer.Context,
    image: Annotated[
        str, typer.Argument(help="A picture's file, or the id of one on the server.", show_default=False)
    ],
    prompt: Prompt,
    model: Model = None,
    negative: Negative = None,
    width: Width = None,
    height: Height = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = None,
    frames: Frames = None,
    fps: Fps = None,
    priority: Priority = None,
    out: Out = Path(),
    url: Url = None,
    api_key: ApiKey = None,
    no_wait: NoWait = False,
    as_json: AsJson = False,
) -> None:
    """Make a clip that begins with a picture."""
    around = surroundings(context)
    settings = _settings(width, height, steps, guidance, seed) | _given(num_frames=frames, fps=fps)
    with around.connect(url, api_key) as client:
        name = _model(client, "i2v", model)
        body = _body("video_model_id", name, "video_prompt", prompt, negative, settings, priority)
        body["source_image_id"] = _source(client, image)
        _run(Task(kind="i2v", body=body, out=out, no_wait=no_wait, as_json=as_json), client, around)


def first_picture(around: Surroundings, url: str, api_key: str | None, out: Path) -> None:
    """Make the example picture on the server at `url` and print its path."""
    with around.connect(url, api_key) as client:
        model = _model(client, "image", None)
        body = _body("model_id", model, "prompt", EXAMPLE_PROMPT, None, {"seed": EXAMPLE_SEED})
        _run(Task(kind="image", body=body, out=out, no_wait=False, as_json=False), client, around)


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One submission and what to do about it."""

    kind: JobKind
    body: Mapping[str, Any]
    out: Path
    no_wait: bool
    as_json: bool


def _run(task: Task, client: Client, around: Surroundings) -> None:
    acknowledgement = _submit(client, task)
    job_id = str(acknowledgement["job_id"])
    if task.no_wait:
        print_json(acknowledgement, around.out) if task.as_json else around.out.print(job_id)
        return
    try:
        with watching(around.err, quiet=task.as_json and not around.err.is_terminal) as watch:
            job = completed(follow(client, job_id, watch=watch, around=around))
    except KeyboardInterrupt:
        raise cancel_after_interrupt(client, job_id) from None
    _hand_over(job, save_outputs(client, job, task.out), task, around)


def _hand_over(job: JobView, files: list[Path], task: Task, around: Surroundings) -> None:
    if task.as_json:
        print_json({**job.raw, "files": files}, around.out)
        return
    for file in files:
        around.out.print(str(file))


def _submit(client: Client, task: Task) -> dict[str, Any]:
    """Sent twice if the first reply is lost: the key makes both the same job."""
    key = uuid.uuid4().hex
    try:
        try:
            return client.submit(task.kind, task.body, idempotency_key=key)
        except NoAnswer:
            return client.submit(task.kind, task.body, idempotency_key=key)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted while submitting", hint="`cyberimage jobs` shows whether it got through"
        ) from None


def _model(client: Client, kind: JobKind, wanted: str | None) -> str:
    """`wanted`, else the server's default of that type, else its first available model of that type."""
    if wanted:
        return wanted
    reply = client.models()
    models: Mapping[str, Mapping[str, Any]] = reply.get("models") or {}
    fitting = [name for name, entry in models.items() if entry.get("type") == kind]
    if not fitting:
        raise NothingToDo(
            f"the server at {client.url} has no model of type {kind}", hint="see `cyberimage models`"
        )
    defaults: Mapping[str, str] = reply.get("defaults") or {}
    for name in (defaults.get(kind), reply.get("default")):
        if name in fitting:
            return str(name)
    return next((name for name in fitting if models[name].get("available", True)), fitting[0])


def _source(client: Client, image: str) -> str:
    file = Path(image).expanduser()
    if file.is_file():
        return client.upload(file)
    if file.suffix or "/" in image:
        raise NothingToDo(
            f"there is no picture {image}", hint="give a file, or the id of a picture on the server"
        )
    return image


def _settings(
    width: int | None, height: int | None, steps: int | None, guidance: float | None, seed: int | None
) -> dict[str, Any]:
    return _given(width=width, height=height, num_inference_steps=steps, guidance_scale=guidance, seed=seed)


def _given(**values: int | float | None) -> dict[str, Any]:
    """Only what the person said; the server knows the defaults."""
    return {name: value for name, value in values.items() if value is not None}


def _body(
    model_field: str,
    model: str,
    prompt_field: str,
    prompt: str,
    negative: str | None,
    settings: dict[str, Any],
    priority: int | None = None,
) -> dict[str, Any]:
    body: dict[str, Any] = {model_field: model, prompt_field: prompt, "settings": settings}
    body |= _given(priority=priority)
    if negative is not None:
        body["negative_prompt"] = negative
    return body
