"""What each process loads: torch belongs to model processes, Ray to the server's, and neither to commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HELP = """
import sys
from serve_app.cli import main
sys.argv = ["cyberimage", "--help"]
try: main()
except SystemExit: pass
"""


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a new process has after this."""
    told = f"{code}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "modules",
    [
        "deployments.fake, serve_app.local",
        "serve_app.replica",
        "deployments, deployments.contract, deployments.errors, deployments.metadata",
    ],
)
def test_what_is_no_model_process_needs_no_torch_and_no_ray(modules: str) -> None:
    assert not {"torch", "diffusers", "ray"} & loaded_by(f"import sys, {modules}")


def test_the_commands_help_loads_nothing_heavy() -> None:
    heavy = {"ray", "torch", "diffusers", "transformers", "sqlalchemy", "fastapi", "huggingface_hub"}
    loaded = loaded_by(HELP)
    assert "typer" in loaded
    assert not heavy & loaded
