"""serve_config.yaml says what the code says."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

import serve_app
from configs.registry import BUILTIN_FILE, Registry, read_models
from configs.settings import Settings
from deployments import FAMILIES
from serve_app.fleet import gpu_shares

FILE = Path(serve_app.__path__[0]).parent / "serve_config.yaml"


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


@pytest.fixture(scope="module")
def app(config: dict[str, Any]) -> dict[str, Any]:
    (only,) = config["applications"]
    return dict(only)


def test_every_deployment_is_listed_once_and_no_other(app: dict[str, Any]) -> None:
    names = [deployment["name"] for deployment in app["deployments"]]
    families = {entry.deployment for entry in FAMILIES.values()}
    assert sorted(names) == sorted({"Ingress", "Dispatcher"} | families)


def test_gpu_shares_are_those_of_the_built_in_models(app: dict[str, Any]) -> None:
    options = {each["name"]: each.get("ray_actor_options", {}) for each in app["deployments"]}
    for models in (True, False):
        registry = Registry(spec for spec in read_models(BUILTIN_FILE) if spec.demo == models)
        for name, share in gpu_shares(registry).items():
            assert options[name]["num_gpus"] == share, name


def test_the_policy_and_its_arguments_exist(app: dict[str, Any]) -> None:
    policy = app["autoscaling_policy"]
    module, _, name = policy["policy_function"].partition(":")
    made = getattr(import_module(module), name)(**policy["policy_kwargs"])
    assert callable(made)


def test_the_graph_has_the_function_that_builds_it(app: dict[str, Any]) -> None:
    module, _, function = app["import_path"].partition(":")
    source = Path(FILE.parent, *module.split(".")).with_suffix(".py").read_text()
    assert function in [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]


def test_address_and_warm_time_are_the_settings_defaults(config: dict[str, Any], app: dict[str, Any]) -> None:
    settings = Settings(_env_file=None)
    assert config["http_options"] == {"host": settings.host, "port": settings.port}
    assert app["autoscaling_policy"]["policy_kwargs"]["keep_warm_s"] == settings.keep_warm_s


def test_only_the_head_node_answers_http(config: dict[str, Any]) -> None:
    assert config["proxy_location"] == "HeadOnly"
