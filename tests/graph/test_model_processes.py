"""Model processes on the real graph: their ends, and what happens when they, or their makers, go wrong."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from configs.registry import BUILTIN_FILE
from tests import processes
from tests.plain_cluster import Graph, plain_cluster
from tests.serving import ENDLESS, LASTING, SHORT, until

pytestmark = pytest.mark.graph

IMPORTED_S = 15.0
"""A worker process of that age has done its imports; until then Ray starts another one instead."""
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo models' registry, with one model more whose files are missing and one that is too large."""
    folder = tmp_path_factory.mktemp("models")
    models = yaml.safe_load(BUILTIN_FILE.read_text("utf-8"))["models"]
    demos = {name: model for name, model in models.items() if model.get("demo")}
    for model in demos.values():
        model["source"]["path"] = str((BUILTIN_FILE.parent / model["source"]["path"]).resolve())
    missing = demos["demo-sd35"] | {"source": {"kind": "local", "path": str(folder / "weights")}}
    demos |= {"missing": missing, "demo-ltx-t2v": demos["demo-ltx-t2v"] | {"num_gpus": 2}}
    (folder / "models.yaml").write_text(yaml.safe_dump({"models": demos}))
    return folder


@pytest.fixture(scope="module")
def graph(folder: Path) -> Iterator[Graph]:
    with plain_cluster(
        "tests.sabotage:build_app",
        CYBERIMAGE_MODELS=str(folder / "models.yaml"),
        CYBERIMAGE_NO_CAPACITY_S="3",
        SABOTAGE=str(folder / "sabotage"),
        PYTHONPATH=str(ROOT),
    ) as graph:
        yield graph


@pytest.fixture(autouse=True)
def quiet(graph: Graph) -> Iterator[None]:
    yield
    for job in graph.api.get("/api/jobs", status="processing")["jobs"]:
        graph.api.http.post(f"/api/jobs/{job['id']}/cancel")
        graph.api.end(job["id"])


def age(process: psutil.Process) -> float:
    return time.time() - process.create_time()


def model_process(graph: Graph, deployment: str = "Flux") -> psutil.Process:
    (process,) = graph.model_processes(deployment)
    return process


def test_model_processes_are_forked_and_named(graph: Graph):
    (zygote,) = until(lambda: graph.zygotes)
    graph.api.completed(graph.api.paint(**SHORT))
    process = model_process(graph)
    assert process.ppid() == zygote.pid
    assert " ".join(process.cmdline()).strip() == "cyberimage: Flux demo-flux"


def test_a_worker_process_is_kept_ready_for_the_next_replica(graph: Graph):
    graph.api.post("/api/models/demo-flux/unload")
    graph.api.until_replicas("Flux", 0)
    until(lambda: [spare for spare in processes.titled(graph.pid, "ray::IDLE") if age(spare) > IMPORTED_S])
    asked = time.time()
    graph.api.completed(graph.api.paint(**SHORT))
    (replica,) = processes.replicas(graph.pid, "Flux")
    assert replica.create_time() < asked


def test_a_job_whose_model_process_is_killed_runs_again_in_a_new_one_of_the_same_replica(graph: Graph):
    job = graph.api.paint(**LASTING)
    graph.api.painting(job)
    replica, model = graph.replicas("Flux"), model_process(graph)
    model.kill()
    (done,) = graph.api.completed(job)
    assert (done["attempts"], graph.replicas("Flux")) == (2, replica)
    assert model_process(graph) != model


def test_a_job_that_loses_every_model_process_fails_and_says_by_which_signal(graph: Graph):
    job = graph.api.paint(**ENDLESS)
    for attempt in (1, 2, 3):
        graph.api.painting(job, attempt)
        model_process(graph).kill()
    failed = graph.api.end(job)
    assert failed["status"] == "failed"
    assert "killed by signal 9; out of memory is the usual reason" in failed["error"]["message"]


def test_a_model_process_dies_with_its_replica(graph: Graph):
    job = graph.api.paint(**ENDLESS)
    graph.api.painting(job)
    model = model_process(graph)
    (replica,) = processes.replicas(graph.pid, "Flux")
    replica.kill()
    assert not processes.survivors([model], within=5)


def test_a_killed_zygote_is_replaced_and_disturbs_no_job(graph: Graph):
    job = graph.api.paint(**LASTING)
    graph.api.painting(job)
    (zygote,) = graph.zygotes
    zygote.kill()
    (done,) = graph.api.completed(job)
    assert done["attempts"] == 1
    graph.api.completed(graph.api.paint("a blue square", model="demo-sd35", **SHORT))
    until(lambda: [each for each in graph.zygotes if each != zygote])


def test_a_killed_dispatcher_leaves_one_zygote_a_node(graph: Graph):
    (zygote,) = until(lambda: graph.zygotes)
    (dispatcher,) = processes.replicas(graph.pid, "Dispatcher")
    dispatcher.kill()
    assert not processes.survivors([zygote], within=30)
    graph.api.completed(graph.api.paint(**SHORT))
    until(lambda: len(graph.zygotes) == 1)


def test_the_next_models_weights_are_read_while_the_other_runs(graph: Graph):
    graph.api.completed(graph.api.paint(**SHORT))
    running = graph.api.paint(**ENDLESS)
    graph.api.painting(running)
    graph.api.paint("a blue square", model="demo-sd35", **SHORT)
    until(lambda: re.search(r"demo-sd35: \d\.\d\d GB read ahead", graph.text_log()))
    assert graph.api.job(running)["status"] == "processing"


def test_a_model_without_files_fails_its_jobs_until_they_are_there(graph: Graph, folder: Path):
    failed = graph.api.end(graph.api.paint(model="missing", **SHORT))
    assert (failed["status"], failed["error"]["code"]) == ("failed", "model_unavailable")
    assert str(folder / "weights") in failed["error"]["message"]
    graph.api.completed(graph.api.paint(**SHORT))
    shutil.copytree(BUILTIN_FILE.parent / "../deployments/demo/weights/demo-sd35", folder / "weights")
    graph.api.completed(graph.api.paint(model="missing", **SHORT))


def test_a_broken_file_fails_the_job_and_not_the_next(graph: Graph, folder: Path):
    file = next((folder / "weights" / "transformer").glob("*.safetensors"))
    whole = file.read_bytes()
    graph.api.completed(graph.api.paint(**SHORT))
    file.write_bytes(whole[: len(whole) // 2])
    failed = graph.api.end(graph.api.paint(model="missing", **SHORT))
    assert (failed["status"], failed["error"]["code"]) == ("failed", "broken_weights")
    file.write_bytes(whole)
    graph.api.completed(graph.api.paint(model="missing", **SHORT))


def test_a_job_that_needs_more_gpus_than_there_are_fails_with_the_reason(graph: Graph):
    failed = graph.api.end(graph.api.film(model="demo-ltx-t2v"))
    assert (failed["status"], failed["error"]["code"]) == ("failed", "no_capacity")
    assert failed["error"]["message"] == "demo-ltx-t2v needs 2 GPUs, and there are 1."


def test_a_replica_that_does_not_start_fails_its_jobs_only_and_recovers(graph: Graph, folder: Path):
    graph.api.post("/api/models/demo-flux/unload")
    graph.api.until_replicas("Flux", 0)
    (folder / "sabotage").touch()
    job = graph.api.paint(**SHORT)
    failed = graph.api.end(job)
    assert (failed["status"], failed["error"]["code"]) == ("failed", "worker_cannot_start")
    assert "ImportError: no such library" in failed["error"]["message"]
    graph.api.completed(graph.api.paint(model="demo-sd35", **SHORT))
    (folder / "sabotage").unlink()
    # A replica that began to start before that still fails, and the job that it was to run with it.
    until(lambda: graph.api.end(graph.api.paint(**SHORT))["status"] == "completed")
