from __future__ import annotations

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
