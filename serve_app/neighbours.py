"""What runs on a Ray cluster that was joined: it may leave no room, and what is another's stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from configs.settings import Settings
from serve_app.urls import local_url

APP_NAME = "cyberimage"
#: The resource that Ray gives the head node alone.
HEAD = "node:__internal_head__"

View = Mapping[str, Any]


class CannotJoin(Exception):
    """There is no place for the server on the cluster; says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbours:
    """Where Ray Serve listens, and its applications by name, each as Ray Serve's details describe it."""

    host: str
    port: int
    applications: Mapping[str, View]
    target_capacity: float | None = None

    def check(self, settings: Settings) -> None:
        """Raises CannotJoin. A server of this data directory is none in the way: its `up` has died."""
        if APP_NAME in self.applications and not self.has(settings):
            raise CannotJoin(self._taken())
        for name, app in self._others():
            if _route(app) == "/":
                raise CannotJoin(
                    f"the application {name} of that Ray cluster answers at every path; give it another "
                    "route_prefix than /, or unset RAY_ADDRESS"
                )
        asked_for = settings.port if "port" in settings.model_fields_set else 0
        if settings.host != self.host or asked_for not in (0, self.port):
            raise CannotJoin(
                f"Ray Serve of that cluster listens on {self.host} port {self.port}, and nowhere else; "
                f"give --host {self.host} --port {self.port}, or unset RAY_ADDRESS"
            )

    def has(self, settings: Settings) -> bool:
        """Whether a server of this data directory is there."""
        data_dir = self._data_dir()
        return data_dir is not None and Path(data_dir).resolve() == settings.data_dir.resolve()

    def beside(self, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration with what others have deployed by theirs: Ray Serve deletes what is not in it.

        What a program has deployed is in none, and stays.
        """
        theirs = [deployed for _, app in self._others() if (deployed := _config(app))]
        # What stands above the applications would be theirs, too.
        shared = {name: value for name, value in config.items() if name != "logging_config"}
        ours = [{"logging_config": config["logging_config"]} | app for app in config["applications"]]
        return shared | {"applications": [*ours, *theirs], "target_capacity": self.target_capacity}

    def _others(self) -> Iterator[tuple[str, View]]:
        """Those that stay."""
        for name, app in self.applications.items():
            if name != APP_NAME and app["status"] != "DELETING":
                yield name, app

    def _data_dir(self) -> str | None:
        """Of the server that is there; None if there is none, or it was not `up` that deployed it."""
        config = _config(self.applications.get(APP_NAME, {})) or {}
        variables: Mapping[str, str] = config.get("runtime_env", {}).get("env_vars", {})
        return variables.get("CYBERIMAGE_DATA_DIR")

    def _taken(self) -> str:
        data_dir = self._data_dir()
        where = local_url(self.host, self.port) + (f", on {data_dir}" if data_dir else "")
        return f"CyberImage runs on that Ray cluster already, at {where}; stop it first, or unset RAY_ADDRESS"


def _config(app: View) -> View | None:
    """By which it was deployed; None if that was not done by a configuration."""
    return app.get("deployed_app_config") if app.get("source") == "declarative" else None


def _route(app: View) -> str | None:
    config = _config(app)
    route: str | None = app["route_prefix"] if config is None else config.get("route_prefix", "/")
    return route


def check_place(nodes: list[dict[str, Any]]) -> None:
    """Raises CannotJoin unless the head node of these is this machine: database and media live there."""
    head = next(node["NodeManagerAddress"] for node in nodes if node["Alive"] and HEAD in node["Resources"])
    here = {each.address for addresses in psutil.net_if_addrs().values() for each in addresses}
    if head not in here:
        raise CannotJoin(f"the head node of that Ray cluster is {head}: run `cyberimage up` there")
