from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ["up", "down", "generate", "t2v", "i2v", "jobs", "cancel", "models", "pull", "status", "doctor"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run, command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"cyberimage {command}" in result.stdout


def test_the_help_lists_every_command(run) -> None:
    listed = run("--help").stdout
    assert all(f" {command} " in listed for command in COMMANDS)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['cyberimage', '--help']\n"
        "from serve_app.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'ray', 'torch', 'diffusers', 'transformers', 'sqlalchemy', 'fastapi', 'huggingface_hub'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"
    assert "generate" in done.stdout
