"""A Ray cluster that was joined, on which others, or this server, run already."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from configs.registry import load_registry
from configs.settings import Settings
from serve_app import cluster
from serve_app.cluster import Connection, deploy, disconnect
from serve_app.neighbours import APP_NAME, HEAD, CannotJoin, Neighbours, check_place

HERE = Path("/srv/here")
JOINED = Connection(processes=None, dashboard_url=None, token_file=None, session=None)
RAY_WARNS = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # When its schema is imported.
CONFIG: dict[str, Any] = {
    "logging_config": {"encoding": "JSON"},
    "applications": [{"name": APP_NAME, "route_prefix": "/"}],
}


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **({"data_dir": HERE, "models": "demo"} | values))


def application(config: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """As Ray Serve's details describe it; deployed by a program if by no configuration."""
    source = "declarative" if config is not None else "imperative"
    known = {"status": "RUNNING", "route_prefix": "/x", "source": source, "deployed_app_config": config}
    return known | changes


def by_up(data_dir: Path) -> dict[str, Any]:
    variables = {"CYBERIMAGE_DATA_DIR": str(data_dir)}
    return application({"name": APP_NAME, "runtime_env": {"env_vars": variables}})


def neighbours(host: str = "127.0.0.1", **applications: dict[str, Any]) -> Neighbours:
    return Neighbours(host=host, port=8000, applications=applications)


class RayServe:
    """Stands in for Ray Serve's client."""

    def __init__(self, **applications: dict[str, Any]) -> None:
        self.http_config = SimpleNamespace(host="127.0.0.1", port=8000)
        self.applications = applications
        self.deployed: list[str] = []
        self.deleted: list[str] = []

    def get_serve_details(self) -> dict[str, Any]:
        return {"applications": self.applications, "target_capacity": None}

    def deploy_apps(self, schema: Any) -> None:
        self.deployed = [app.name for app in schema.applications]

    def list_serve_statuses(self) -> list[Any]:
        return [SimpleNamespace(name=APP_NAME, app_status=SimpleNamespace(status="RUNNING"))]

    def delete_apps(self, names: list[str]) -> None:
        self.deleted += names


def ray_serve(monkeypatch: pytest.MonkeyPatch, **applications: dict[str, Any]) -> RayServe:
    client = RayServe(**applications)
    monkeypatch.setattr(cluster, "_serve", lambda: client)
    return client


def test_a_server_of_another_data_directory_is_named_and_in_the_way():
    with pytest.raises(CannotJoin, match=r"already, at http://127\.0\.0\.1:8000, on /srv/there; stop it"):
        neighbours("0.0.0.0", cyberimage=by_up(Path("/srv/there"))).check(settings())
    with pytest.raises(CannotJoin, match=r"already, at http://127\.0\.0\.1:8000; stop it"):
        neighbours(cyberimage=application({"name": APP_NAME})).check(settings())


def test_a_server_whose_up_has_died_is_taken_over():
    neighbours(cyberimage=by_up(HERE)).check(settings())


@pytest.mark.parametrize("rival", [application(route_prefix="/"), application({"name": "other"})])
def test_the_root_belongs_to_one(rival: dict[str, Any]):
    with pytest.raises(CannotJoin, match="the application other of that Ray cluster answers at every path"):
        neighbours(other=rival).check(settings())
    neighbours(other=rival | {"status": "DELETING"}).check(settings())


@pytest.mark.parametrize("values", [{}, {"port": 0}, {"port": 8000}])
def test_the_port_of_ray_serve_is_taken_as_it_is(values: dict[str, int]):
    neighbours(other=application()).check(settings(**values))


@pytest.mark.parametrize("values", [{"port": 7860}, {"host": "0.0.0.0"}])
def test_another_address_than_ray_serves_is_refused(values: dict[str, Any]):
    with pytest.raises(CannotJoin, match=r"give --host 127\.0\.0\.1 --port 8000"):
        neighbours().check(settings(**values))


def test_what_others_have_deployed_stays():
    theirs = {"name": "other", "route_prefix": "/other", "import_path": "a:b"}
    there = Neighbours(
        host="127.0.0.1",
        port=8000,
        target_capacity=50.0,
        applications={
            "other": application(theirs),
            "program": application(),
            "leaving": application({"name": "leaving"}, status="DELETING"),
            APP_NAME: by_up(HERE),
        },
    )
    ours = {"name": APP_NAME, "route_prefix": "/", "logging_config": {"encoding": "JSON"}}
    assert there.beside(CONFIG) == {"applications": [ours, theirs], "target_capacity": 50.0}


@RAY_WARNS
def test_deploying_leaves_other_applications_there(monkeypatch: pytest.MonkeyPatch):
    theirs = {"name": "other", "route_prefix": "/other", "import_path": "a:b"}
    client = ray_serve(monkeypatch, other=application(theirs))
    deploy(settings(), load_registry(settings()), 8000, own=False)
    assert client.deployed == [APP_NAME, "other"]


@RAY_WARNS
def test_a_server_that_came_meanwhile_is_neither_replaced_nor_deleted(monkeypatch: pytest.MonkeyPatch):
    client = ray_serve(monkeypatch, cyberimage=by_up(Path("/srv/there")))
    with pytest.raises(CannotJoin):
        deploy(settings(), load_registry(settings()), 8000, own=False)
    disconnect(JOINED, settings())
    assert (client.deployed, client.deleted) == ([], [])


def test_leaving_a_cluster_deletes_the_own_application(monkeypatch: pytest.MonkeyPatch):
    client = ray_serve(monkeypatch, cyberimage=by_up(HERE), other=application())
    disconnect(JOINED, settings())
    assert client.deleted == [APP_NAME]


def test_a_cluster_on_which_ray_serve_does_not_run_can_be_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "_serve", lambda: None)
    disconnect(JOINED, settings())


def test_a_server_runs_on_the_head_node():
    def node(address: str, **resources: float) -> dict[str, Any]:
        return {"NodeManagerAddress": address, "Alive": True, "Resources": resources}

    check_place([node("192.0.2.7"), node("127.0.0.1", **{HEAD: 1.0})])
    with pytest.raises(CannotJoin, match=r"192\.0\.2\.7: run `cyberimage up` there"):
        check_place([node("127.0.0.1"), node("192.0.2.7", **{HEAD: 1.0})])
