"""The real graph and the real family classes with the demo models, on one logical GPU."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests import processes
from tests.plain_cluster import Graph, second_node
from tests.serving import ENDLESS, LASTING, SHORT, until

pytestmark = pytest.mark.graph

#: Far less than the seconds that a new ingress takes to start, on a busy machine.
AT_ONCE_S = 3.0
COUNTER = "ray_cyberimage_jobs_ended_total"
FAMILIES = ("Flux", "SD35", "WanT2V", "LTXT2V", "I2V")


@pytest.fixture(autouse=True)
def quiet(graph: Graph):
    """Each test begins and ends without jobs, whatever became of the one before."""
    yield
    graph.api.post("/api/queue/clear")
    for job in graph.api.get("/api/jobs", status="processing")["jobs"]:
        graph.api.http.post(f"/api/jobs/{job['id']}/cancel")
        graph.api.end(job["id"])


@pytest.fixture
def empty(graph: Graph) -> None:
    """No family has a replica."""
    for model in ("demo-flux", "demo-sd35", "demo-wan-t2v", "demo-ltx-t2v", "demo-wan-i2v"):
        graph.api.post(f"/api/models/{model}/unload")
    for name in FAMILIES:
        graph.api.until_replicas(name, 0)


def kill(graph: Graph, deployment: str) -> None:
    (pid,) = graph.replicas(deployment)
    os.kill(pid, signal.SIGKILL)


def first_event(graph: Graph) -> str:
    """The line with its number, which tells where a new listener begins."""
    with graph.api.http.stream("GET", "/api/events") as reply:
        return next(reply.iter_lines())


def test_serve_deploy_runs_the_graph_on_a_plain_cluster(graph: Graph):
    status = graph.serve("status")
    assert "cyberimage" in status
    assert "UNHEALTHY" not in status
    assert graph.api.get("/api/queue", detailed=True)["gpus"]["total"] == 1


@pytest.mark.usefixtures("empty")
def test_a_family_has_no_process_before_its_first_job_and_one_during_it(graph: Graph):
    assert [graph.replicas(name) for name in FAMILIES] == [[], [], [], [], []]
    job = graph.api.paint(**ENDLESS)
    graph.api.painting(job)
    assert graph.api.deployment("Flux")["replicas"] == 1
    assert len(graph.replicas("Flux")) == 1
    assert [graph.replicas(name) for name in FAMILIES[1:]] == [[], [], [], []]


def test_demand_for_another_family_takes_the_gpu_from_an_idle_one(graph: Graph):
    graph.api.completed(graph.api.paint(**SHORT))
    assert len(graph.replicas("Flux")) == 1
    job = graph.api.paint(model="demo-sd35", **ENDLESS)
    graph.api.painting(job)
    assert graph.api.until_replicas("Flux", 0)["idle_seconds"] is None
    assert (len(graph.replicas("Flux")), len(graph.replicas("SD35"))) == (0, 1)


def test_unloading_empties_an_idle_deployment(graph: Graph):
    graph.api.completed(graph.api.paint(**SHORT))
    worker, model = processes.replicas(graph.pid, "Flux"), graph.model_processes("Flux")
    assert len(model) == 1
    graph.api.post("/api/models/demo-flux/unload")
    assert not processes.survivors(model, within=0), "the model is gone when the server says so"
    graph.api.until_replicas("Flux", 0)
    assert not processes.survivors(worker, within=30)
    assert graph.api.get("/api/models")["models"]["demo-flux"]["loaded"] is False


def test_a_busy_deployment_is_not_unloaded(graph: Graph):
    job = graph.api.paint(**ENDLESS)
    graph.api.painting(job)
    reply = graph.api.http.post("/api/models/demo-flux/unload")
    assert (reply.status_code, reply.json()["code"]) == (409, "conflict")
    assert "running a job" in reply.json()["message"]


def test_the_request_id_in_a_replicas_log_is_the_jobs(graph: Graph):
    (job,) = graph.api.completed(graph.api.paint(**SHORT))
    lines = [line for line in graph.log("Flux") if line.get("request_id") == job["id"]]
    assert any(line["message"].startswith("CALL generate OK") for line in lines)
    assert [line for line in lines if line.get("job") == job["id"]]
    assert {(line["model"], line["family"]) for line in lines if "model" in line} == {("demo-flux", "flux")}


def test_ray_serves_metrics_by_model_and_family(graph: Graph):
    graph.api.completed(graph.api.paint(**SHORT))
    counted = {"model": "demo-flux", "family": "flux", "status": "completed"}
    deadline = time.monotonic() + 60
    while not [s for s in graph.metrics() if s.name == COUNTER and counted.items() <= s.labels.items()]:
        assert time.monotonic() < deadline, "Ray does not tell of the job"
        time.sleep(1)


def test_cancelling_a_running_job_ends_it_at_once_and_spares_its_worker(graph: Graph):
    job = graph.api.paint(**ENDLESS)
    graph.api.painting(job)
    worker = graph.replicas("Flux")
    before = graph.pictures()
    graph.api.post(f"/api/jobs/{job}/cancel")
    assert graph.api.end(job)["status"] == "cancelled"
    graph.api.completed(next_job := graph.api.paint(**SHORT))
    assert graph.replicas("Flux") == worker
    assert graph.pictures() - before == set(graph.api.job(next_job)["image_ids"])


def test_a_job_whose_worker_is_killed_runs_again(graph: Graph):
    (undisturbed,) = graph.api.completed(graph.api.paint(**LASTING))
    before = graph.pictures()
    job = graph.api.paint(**LASTING)
    graph.api.painting(job)
    kill(graph, "Flux")
    (done,) = graph.api.completed(job)
    assert done["attempts"] == 2
    assert len(done["images"]) == LASTING["num_images"]
    assert graph.pictures() - before == set(done["image_ids"])
    assert [graph.api.picture(image).tobytes() for image in done["images"]] == [
        graph.api.picture(image).tobytes() for image in undisturbed["images"]
    ]


def test_a_job_that_loses_every_worker_fails_and_the_next_job_runs(graph: Graph):
    before = graph.pictures()
    job = graph.api.paint(**ENDLESS)
    for attempt in (1, 2, 3):
        graph.api.painting(job, attempt)
        kill(graph, "Flux")
    failed = graph.api.end(job)
    assert (failed["status"], failed["attempts"]) == ("failed", 3)
    sentence = "The worker died 3 times while running this job. The last time: its replica is gone."
    assert failed["error"]["message"] == sentence
    assert failed["error"]["code"] == "worker_died"
    assert graph.pictures() == before
    graph.api.completed(graph.api.paint(**SHORT))


def test_a_job_survives_the_death_of_the_dispatcher(graph: Graph):
    before = graph.pictures()
    job, waiting = graph.api.paint(**LASTING), graph.api.paint(**SHORT)
    graph.api.painting(job)
    kill(graph, "Dispatcher")
    done, waited = graph.api.completed(job, waiting)
    assert (done["attempts"], waited["attempts"]) == (2, 1)
    assert len(done["images"]) == LASTING["num_images"]
    assert graph.pictures() - before == {*done["image_ids"], *waited["image_ids"]}


def test_while_one_ingress_is_dead_the_other_answers_at_once(graph: Graph):
    job = graph.api.completed(graph.api.paint(**SHORT))[0]["id"]
    victim, _ = until(lambda: pair if len(pair := graph.replicas("Ingress")) == 2 else None)
    os.kill(victim, signal.SIGKILL)
    took_s = []
    while victim in (replicas := graph.replicas("Ingress")) or len(replicas) < 2 or len(took_s) < 100:
        began = time.monotonic()
        assert graph.api.get(f"/api/status/{job}")["status"] == "completed"
        took_s.append(time.monotonic() - began)
    assert max(took_s) < AT_ONCE_S


def test_events_have_the_same_numbers_whichever_ingress_tells_them(graph: Graph):
    graph.api.completed(graph.api.paint(**SHORT))
    assert len({first_event(graph) for _ in range(16)}) == 1


def test_a_node_that_joins_takes_jobs_and_its_death_costs_each_at_most_an_attempt(graph: Graph):
    api = graph.api

    def has_gpus(number: int) -> bool:
        return api.get("/api/queue", detailed=True)["gpus"]["total"] == number

    with second_node(graph) as node:
        until(lambda: has_gpus(2), within=120)
        jobs = {
            "Flux": api.paint(**ENDLESS),
            "WanT2V": api.film(num_inference_steps=50, width=128, height=128, num_frames=33),
        }

        def at_work_there() -> list[str]:
            there = [name for name in jobs if processes.replicas(node.pid, name)]
            return [name for name in there if api.job(jobs[name])["progress"]["step"]]

        (name,) = until(at_work_there)
        replicas = processes.replicas(node.pid, name)
        processes.end(processes.tree(node.pid))
    assert not processes.survivors(replicas, within=5)
    lost = jobs.pop(name)
    api.painting(lost, 2)
    (other,) = jobs.values()
    for job in (other, lost):
        api.http.post(f"/api/jobs/{job}/cancel")
    assert api.end(lost)["attempts"] == 2
    assert api.end(other)["attempts"] <= 2, graph.log("Dispatcher")
    until(lambda: has_gpus(1))
