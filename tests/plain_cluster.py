"""The real graph on a plain Ray cluster: `ray start`, then `serve deploy serve_config.yaml`."""

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
class Graph:
    """A deployed graph: its API, where it keeps things, and the `ray start` above all its processes."""

    api: Api
    data_dir: Path
    pid: int
    dashboard: str
    environment: dict[str, str]

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
        folder = self.data_dir.parent / "session_latest" / "logs"
        return "\n".join(file.read_text("utf-8", "replace") for file in folder.glob("worker-*.err"))

    def serve(self, *arguments: str) -> str:
        """What the `serve` command prints."""
        command = [BIN / "serve", *arguments, "--address", self.dashboard]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, deployment: str) -> list[dict[str, Any]]:
        """The lines that the deployment's replicas have written, by their fields."""
        folder = self.data_dir.parent / "session_latest" / "logs" / "serve"
        files = sorted(folder.glob(f"replica_cyberimage_{deployment}_*.log"))
        return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]

    def metrics(self) -> Iterator[Sample]:
        """What those of Ray's agents serve to Prometheus that are up."""
        (found,) = json.loads((self.data_dir.parent / "prom_metrics_service_discovery.json").read_text())
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
    # Ray's socket paths hold little more than 100 characters, so not below pytest's own folder.
    with tempfile.TemporaryDirectory(prefix="ci-", ignore_cleanup_errors=True) as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        environment = _environment(Path(folder), data_dir) | variables
        port = processes.free_port()
        ray = _start_ray(Path(folder), port, environment)
        try:
            config = _config(import_path)
            with _deployed(ray, data_dir, f"http://127.0.0.1:{port}", environment, config) as graph:
                yield graph
        finally:
            started = [*processes.tree(ray.pid), *processes.with_variable("RAY_TMPDIR", folder)]
            processes.kill_group(ray.pid)
            processes.end(started)
            ray.wait()


@contextmanager
def second_node(graph: Graph) -> Iterator[subprocess.Popen[bytes]]:
    """`ray start --address`: one more node of one logical GPU, in a process group of its own."""
    folder = graph.data_dir.parent
    address = (folder / "ray_current_cluster").read_text().strip()
    options = {
        "address": address,
        "dashboard-agent-listen-port": processes.free_port(),
        "min-worker-port": 0,
        "max-worker-port": 0,
        "num-cpus": 4,
        "num-gpus": 1,
        "object-store-memory": 100_000_000,
    }
    node = _ray_start(["--block"], options, folder / "second.log", graph.environment)
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


@contextmanager
def _deployed(
    ray: subprocess.Popen[bytes],
    data_dir: Path,
    dashboard: str,
    environment: dict[str, str],
    config: dict[str, Any],
) -> Iterator[Graph]:
    file = data_dir.parent / "serve_config.yaml"
    file.write_text(yaml.safe_dump(config))
    with closing(Api(f"http://127.0.0.1:{config['http_options']['port']}")) as api:
        graph = Graph(api=api, data_dir=data_dir, pid=ray.pid, dashboard=dashboard, environment=environment)
        _await(lambda: _takes_applications(dashboard, environment), ray)
        graph.serve("deploy", str(file))
        _await(lambda: api.http.get("/health").status_code == 200, ray)
        yield graph


def _takes_applications(dashboard: str, environment: dict[str, str]) -> bool:
    """The dashboard's page is there some seconds before its part that deploys."""
    token = Path(environment["RAY_AUTH_TOKEN_PATH"]).read_text()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{dashboard}/api/serve/applications/", headers=headers, timeout=5).is_success


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
