"""A plain Ray cluster, and the real graph on it: `ray start`, then `serve deploy serve_config.yaml`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from serve_app.cluster import CONFIG_FILE
from tests import processes
from tests.serving import Api

BIN = Path(sys.executable).parent


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A `ray start` above all the cluster's processes, and its folder."""

    folder: Path
    ray: subprocess.Popen[bytes]
    dashboard: str
    environment: dict[str, str]

    @property
    def pid(self) -> int:
        return self.ray.pid

    @property
    def address(self) -> str:
        return (self.folder / "ray_current_cluster").read_text().strip()

    def serve(self, *arguments: str) -> str:
        """What the `serve` command prints."""
        command = [BIN / "serve", *arguments, "--address", self.dashboard]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def deploy(self, config: dict[str, Any], answers_at: str) -> None:
        """The configuration, and wait until there is something at that address."""
        file = self.folder / "serve_config.yaml"
        file.write_text(yaml.safe_dump(config))
        _await(self._takes_applications, self.ray)
        self.serve("deploy", str(file))
        _await(lambda: httpx.get(answers_at, timeout=90).status_code == 200, self.ray)

    def _takes_applications(self) -> bool:
        """The dashboard's page is there some seconds before its part that deploys."""
        token = Path(self.environment["RAY_AUTH_TOKEN_PATH"]).read_text()
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{self.dashboard}/api/serve/applications/", headers=headers, timeout=5).is_success


@dataclass(frozen=True, kw_only=True)
class Graph(Cluster):
    """A deployed graph: its API, and where it keeps things."""

    api: Api

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def replicas(self, deployment: str) -> list[int]:
        return [process.pid for process in processes.replicas(self.pid, deployment)]

    def model_processes(self, deployment: str) -> list[psutil.Process]:
        """Those that have a model of the deployment, or are about to."""
        return processes.titled(self.pid, f"cyberimage: {deployment}")

    @property
    def zygotes(self) -> list[psutil.Process]:
        return processes.titled(self.pid, "cyberimage: zygote")

    def text_log(self) -> str:
        """What the processes have printed that are no replicas."""
        folder = self.folder / "session_latest" / "logs"
        return "\n".join(file.read_text("utf-8", "replace") for file in folder.glob("worker-*.err"))

    def log(self, deployment: str) -> list[dict[str, Any]]:
        """The lines that the deployment's replicas have written, by their fields."""
        folder = self.folder / "session_latest" / "logs" / "serve"
        files = sorted(folder.glob(f"replica_cyberimage_{deployment}_*.log"))
        return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]

    def metrics(self) -> Iterator[Sample]:
        """What those of Ray's agents serve to Prometheus that are up."""
        (found,) = json.loads((self.folder / "prom_metrics_service_discovery.json").read_text())
        for target in found["targets"]:
            with suppress(httpx.ConnectError):
                text = httpx.get(f"http://{target}/metrics", timeout=10).text
                for family in text_string_to_metric_families(text):
                    yield from family.samples

    def pictures(self) -> set[str]:
        """Ids of the pictures that lie in the media folder, finished or not."""
        return {file.stem for file in (self.data_dir / "media").rglob("*.png*")}


@contextmanager
def plain_cluster(import_path: str | None = None, **variables: str) -> Iterator[Graph]:
    """A cluster of one logical GPU with the graph on it, for as long as the context lasts.

    `import_path` replaces that of the configuration file; `variables` go into the environment.
    """
    config = _config(import_path)
    url = f"http://127.0.0.1:{config['http_options']['port']}"
    with bare_cluster(**variables) as cluster, closing(Api(url)) as api:
        cluster.deploy(config, f"{url}/health")
        yield Graph(**vars(cluster), api=api)


@contextmanager
def bare_cluster(**variables: str) -> Iterator[Cluster]:
    """The cluster without the graph."""
    # Ray's socket paths hold little more than 100 characters, so not below pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="ci-", ignore_cleanup_errors=True) as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        environment = _environment(Path(folder), data_dir) | variables
        port = processes.free_port()
        ray = _start_ray(Path(folder), port, environment)
        dashboard = f"http://127.0.0.1:{port}"
        try:
            yield Cluster(folder=Path(folder), ray=ray, dashboard=dashboard, environment=environment)
        finally:
            started = [*processes.tree(ray.pid), *processes.with_variable("RAY_TMPDIR", folder)]
            processes.kill_group(ray.pid)
            processes.end(started)
            ray.wait()


@contextmanager
def second_node(graph: Graph) -> Iterator[subprocess.Popen[bytes]]:
    """`ray start --address`: one more node of one logical GPU, in a process group of its own."""
    options = {
        "address": graph.address,
        "dashboard-agent-listen-port": processes.free_port(),
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": 4,
        "num-gpus": 1,
        "object-store-memory": 100_000_000,
    }
    node = _ray_start(["--block"], options, graph.folder / "second.log", graph.environment)
    try:
        yield node
    finally:
        started = processes.tree(node.pid)
        processes.kill_group(node.pid)
        processes.end(started)
        node.wait()


def _environment(folder: Path, data_dir: Path) -> dict[str, str]:
    """A cluster apart from all others of this machine, with a token of its own."""
    token = folder / "token"
    token.write_text("0123456789abcdef" * 4)
    return os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.1",
        "CYBERIMAGE_DATA_DIR": str(data_dir),
        "CYBERIMAGE_MODELS": "demo",
        "OMP_NUM_THREADS": "1",
    }


def _start_ray(folder: Path, dashboard_port: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    options = {
        "port": 0,
        "dashboard-port": dashboard_port,
        "dashboard-agent-listen-port": processes.free_port(),
        "ray-client-server-port": processes.free_port(),
        "min-worker-port": 0,
        "max-worker-port": 0,
        "temp-dir": folder,
        "num-cpus": 4,
        "num-gpus": 1,
        "object-store-memory": 200_000_000,
    }
    return _ray_start(["--head", "--block"], options, folder / "ray.log", environment)


def _ray_start(
    flags: list[str], options: dict[str, Any], log_file: Path, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    command = [BIN / "ray", "start", *flags, *(f"--{name}={value}" for name, value in options.items())]
    with log_file.open("wb") as log:
        return subprocess.Popen(
            command, env=environment, cwd=log_file.parent, stdout=log, stderr=log, start_new_session=True
        )


def _config(import_path: str | None) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CONFIG_FILE.read_text("utf-8"))
    config["http_options"]["port"] = processes.free_port()
    if import_path is not None:
        config["applications"][0]["import_path"] = import_path
    return config


def _await(condition: Callable[[], bool], ray: subprocess.Popen[bytes], within: float = 180) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        assert ray.poll() is None, "ray start has ended"
        try:
            if condition():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError("the graph does not come up")
