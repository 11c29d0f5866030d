"""`cyberimage up` on a cluster where Ray Serve runs another's application already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import yaml

from configs.registry import BUILTIN_FILE
from tests import processes
from tests.plain_cluster import Cluster, bare_cluster
from tests.servers import Server
from tests.serving import SHORT, Api

pytestmark = pytest.mark.graph

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def url() -> str:
    return f"http://127.0.0.1:{processes.free_port()}"


@pytest.fixture(scope="module")
def cluster(url: str) -> Iterator[Cluster]:
    other = {"name": "neighbour", "route_prefix": "/neighbour", "import_path": "tests.neighbour:app"}
    listens = {"host": "127.0.0.1", "port": httpx.URL(url).port}
    with bare_cluster(PYTHONPATH=str(ROOT)) as cluster:
        cluster.deploy({"http_options": listens, "applications": [other]}, f"{url}/neighbour")
        yield cluster


@pytest.fixture(scope="module")
def neighbour(cluster: Cluster, url: str) -> str:
    """Its process, before anybody else came."""
    return httpx.get(f"{url}/neighbour").text


def joining(cluster: Cluster, folder: Path) -> Server:
    variables = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_TMPDIR", "RAY_USAGE_STATS_ENABLED")
    environment = {name: cluster.environment[name] for name in variables}
    return Server(folder, environment=environment | {"RAY_ADDRESS": cluster.address})


@pytest.fixture(scope="module")
def server(cluster: Cluster, neighbour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Its only model is in a file that it is given by a relative path."""
    server = joining(cluster, tmp_path_factory.mktemp("joining") / "home")
    model = yaml.safe_load(BUILTIN_FILE.read_text("utf-8"))["models"]["demo-flux"]
    model["source"]["path"] = str((BUILTIN_FILE.parent / model["source"]["path"]).resolve())
    (server.folder / "models.yaml").write_text(yaml.safe_dump({"models": {"mine": model}}))
    try:
        server.run("up", "--detach", "--models", "models.yaml")
        yield server
    finally:
        server.end()


def test_a_server_serves_beside_what_runs_there(server: Server, neighbour: str, url: str):
    assert server.url == url
    with closing(Api(url)) as api:
        assert list(api.get("/api/models")["models"]) == ["mine"]
        (job,) = api.completed(api.paint(model="mine", **SHORT))
    assert {image["file_path"] for image in job["images"]} <= server.files()
    assert httpx.get(f"{url}/neighbour").text == neighbour


def test_another_data_directory_is_refused(cluster: Cluster, server: Server, url: str, tmp_path: Path):
    second = joining(cluster, tmp_path / "second")
    done = second.run("up", code=1)
    assert f"CyberImage runs on that Ray cluster already, at {url}, on {server.data_dir}" in done.stderr
    assert "Traceback" not in done.stderr
    assert httpx.get(f"{url}/health").is_success


def test_it_leaves_alone(server: Server, neighbour: str, url: str):
    assert server.run("down").stdout == "stopped\n"
    assert httpx.get(f"{url}/health").status_code == 404
    assert httpx.get(f"{url}/neighbour").text == neighbour
