"""Ray under the server: a cluster of its own, or one to join; and the application on it."""

from __future__ import annotations

import logging
import os
import secrets
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from configs.env_models import model_variables
from configs.hardware import CPU_ONLY, DEVICES, are_hidden, visible_gpus
from configs.registry import Registry
from configs.settings import Settings, to_environment
from serve_app.fleet import gpu_shares
from serve_app.neighbours import APP_NAME, CannotJoin, Neighbours, check_place
from serve_app.ray_processes import RayProcesses, end_leftovers
from serve_app.ray_sessions import remember

CONFIG_FILE = Path(__file__).resolve().parent.parent / "serve_config.yaml"

#: Read by Ray when its processes start. The push intervals bound how soon demand is seen; Ray's own
#: are 10 s, which would be most of the time that a swap of models takes.
RAY_ENVIRONMENT = {
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.1",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.1",
    # Fewer hops on a job's way: a family's events reach the dispatcher in 1 ms, on a busy machine, rather
    # than in 5. No replica of ours blocks its event loop.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    # Ray's own 4 MiB are less than a picture of 2048 x 2048 pixels.
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(2**31 - 1),
    # How soon a dead proxy is replaced; Ray's own period is 10 s.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    # Ray's workers give way to every other process (nice 15) unless told otherwise.
    "RAY_worker_niceness": "0",
    # How long a node may take to start the agent of its dashboard: on a busy machine more than Ray's 30 s.
    "RAY_agent_register_timeout_ms": "120000",
    # How many logs its log monitor has open, those of ended processes among them; Ray's own number is 200.
    "RAY_LOG_MONITOR_MAX_OPEN_FILES": "50",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray's processes listen on the loopback address alone, as they always do on macOS and Windows; with
    # Ray's default for Linux, other machines could reach them.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # gRPC would ask the proxy that the environment names, as for downloads, even for this machine.
    "no_grpc_proxy": "127.0.0.1,localhost,::1",
}

#: What a spare worker imports before it is a replica (serve_app/spare_workers.py).
PRELOAD = {"RAY_preload_python_modules": "ray.serve._private.replica,serve_app.replica"}

#: Ray's object store carries requests and finished files between processes; this is plenty.
OBJECT_STORE_BYTES = 512 << 20


#: How often Ray is started before it is given up, half a minute each.
START_TRIES = 4

#: Ray Serve's own limit of 60 s is too short for a machine that is busy with something else.
DEPLOY_TIMEOUT_S = 180.0


class DeployFailed(Exception):
    """Ray Serve could not bring the application up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """A Ray cluster in use. One that was started here has `processes`, and ends with this process."""

    processes: RayProcesses | None
    dashboard_url: str | None
    token_file: Path | None
    #: The folder of a cluster that was started here.
    session: Path | None
    #: Where Ray Serve of a cluster that was joined listens; None where it has not begun to.
    port: int | None = None

    @property
    def own(self) -> bool:
        return self.processes is not None


def connect(settings: Settings) -> Connection:
    """Join the cluster that RAY_ADDRESS names, or start one on this machine. Raises CannotJoin."""
    return _join(settings) if os.environ.get("RAY_ADDRESS") else _start(settings)


def _start(settings: Settings) -> Connection:
    """A new local cluster whose processes inherit the settings. Its dashboard asks for a token."""
    token_file = _token_file(settings.data_dir)
    tries = {"RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT": str(settings.max_attempts)}
    preload = PRELOAD if settings.preload else {}
    data_dir = str(settings.data_dir.resolve())
    end_leftovers(data_dir)
    os.environ.update(RAY_ENVIRONMENT | tries | preload | to_environment(settings))
    os.environ["CYBERIMAGE_DATA_DIR"] = data_dir
    if are_hidden():
        os.environ[CPU_ONLY] = "1"
        os.environ.pop(DEVICES, None)
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN_PATH", str(token_file))
    import ray

    context = _start_ray(settings)
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    remember(session, settings.data_dir)
    protected = os.environ["RAY_AUTH_MODE"] == "token"
    return Connection(
        processes=RayProcesses(),
        dashboard_url=_dashboard_url(context),
        token_file=Path(os.environ["RAY_AUTH_TOKEN_PATH"]) if protected else None,
        session=session,
    )


def _start_ray(settings: Settings) -> Any:
    """On a very busy machine, once more from nothing, and again.

    Ray's first process waits 15 s for another, and dies if that took longer (2.60, Ray issue 65983). There is
    no setting for it, and the next try often succeeds.
    """
    import ray

    start = partial(
        ray.init,
        address="local",
        num_gpus=_gpu_slots(settings),
        include_dashboard=True,
        dashboard_host=settings.dashboard_host,
        dashboard_port=settings.dashboard_port,
        object_store_memory=OBJECT_STORE_BYTES,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    for _ in range(START_TRIES - 1):
        try:
            return start()
        except Exception as error:  # Ray raises no class of its own
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            RayProcesses().end()
    return start()


def _join(settings: Settings) -> Connection:
    import ray

    context = ray.init(logging_level=logging.ERROR, log_to_driver=False)
    port = None
    try:
        check_place(ray.nodes())
        if (client := _serve()) is not None:
            neighbours = _neighbours(client)
            neighbours.check(settings)
            port = neighbours.port
    except CannotJoin:
        ray.shutdown()
        raise
    url = _dashboard_url(context)
    return Connection(processes=None, dashboard_url=url, token_file=None, session=None, port=port)


def _serve() -> Any:
    """Ray Serve's client; None where it does not run."""
    from ray.serve.context import _get_global_client

    return _get_global_client(raise_if_no_controller_running=False)


def _neighbours(client: Any) -> Neighbours:
    details = client.get_serve_details()
    return Neighbours(
        host=client.http_config.host,
        port=client.http_config.port,
        applications=details["applications"],
        target_capacity=details["target_capacity"],
    )


def _dashboard_url(context: Any) -> str | None:
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


def _gpu_slots(settings: Settings) -> int | None:
    """None lets Ray count the GPUs; without any, the CPU is one logical GPU, taken in turn."""
    if settings.gpus is not None:
        return settings.gpus
    return None if visible_gpus() else 1


def _token_file(data_dir: Path) -> Path:
    """A secret of this server's own, so that other Ray clusters of this user are not touched."""
    file = data_dir / "ray_token"
    if not file.exists():
        temporary = file.with_suffix(".tmp")
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_hex(32))
        temporary.rename(file)
    return file


def deploy(settings: Settings, registry: Registry, port: int, *, own: bool) -> None:
    """Deploy serve_config.yaml with these settings; returns when every deployment is ready.

    Raises DeployFailed with what is wrong, CannotJoin if another was quicker.
    """
    from ray.serve._private.api import serve_start
    from ray.serve.schema import ServeDeploySchema

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    config = app_config(settings, registry, port, own=own)
    schema = ServeDeploySchema(**config)
    client = _serve() or serve_start(
        http_options=schema.http_options.model_dump(),
        proxy_location=schema.proxy_location,
    )
    neighbours = _neighbours(client)
    neighbours.check(settings)
    client.deploy_apps(ServeDeploySchema(**neighbours.beside(config)))
    deadline = time.monotonic() + DEPLOY_TIMEOUT_S
    while not is_running(client.list_serve_statuses()):
        if time.monotonic() > deadline:
            raise DeployFailed(f"the application does not run after {DEPLOY_TIMEOUT_S:g} s")
        time.sleep(0.1)


def is_running(applications: list[Any]) -> bool:
    """Whether Ray Serve's status overviews say that ours runs. Raises DeployFailed if it never will."""
    app = next((app for app in applications if app.name == APP_NAME), None)
    if app is None or app.app_status.status != "DEPLOY_FAILED":
        return app is not None and app.app_status.status == "RUNNING"
    for deployment in app.deployment_statuses:
        if deployment.status == "DEPLOY_FAILED":
            raise DeployFailed(f"the {deployment.name} does not start: {_last_line(deployment.message)}")
    raise DeployFailed(_last_line(app.app_status.message))


def _last_line(message: str) -> str:
    """Of a traceback, the error."""
    return next((line.strip() for line in reversed(message.splitlines()) if line.strip()), "no reason given")


def app_config(settings: Settings, registry: Registry, port: int, *, own: bool) -> dict[str, Any]:
    """serve_config.yaml with host, port, warm time, GPU shares; on a joined cluster, the environment too."""
    config: dict[str, Any] = yaml.safe_load(CONFIG_FILE.read_text("utf-8"))
    config["http_options"] |= {"host": settings.host, "port": port}
    app = config["applications"][0]
    shares = gpu_shares(registry)
    app["autoscaling_policy"]["policy_kwargs"] |= {
        "keep_warm_s": settings.keep_warm_s,
        "shares": shares,
        "gpus": settings.gpus,
    }
    for deployment in app["deployments"]:
        if deployment["name"] in shares:
            deployment["ray_actor_options"]["num_gpus"] = shares[deployment["name"]]
    if not own:
        app["runtime_env"] = {"env_vars": to_environment(settings) | model_variables()}
    return config


def disconnect(connection: Connection, settings: Settings) -> None:
    """End the own cluster with all its processes; on a joined one, only the application of these settings."""
    import ray

    if not connection.own and (client := _serve()) is not None and _neighbours(client).has(settings):
        client.delete_apps([APP_NAME])
    ray.shutdown()
