"""A second machine with a GPU joins the cluster, works, and dies."""

from __future__ import annotations

import pytest

from tests import processes
from tests.plain_cluster import Graph, second_node
from tests.serving import ENDLESS, until

pytestmark = pytest.mark.graph


def test_a_node_that_joins_takes_jobs_and_its_death_costs_only_an_attempt(graph: Graph):
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
    for job in (lost, other):
        api.http.post(f"/api/jobs/{job}/cancel")
    assert [api.end(job)["attempts"] for job in (lost, other)] == [2, 1]
    until(lambda: has_gpus(1))
