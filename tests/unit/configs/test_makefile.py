"""What make says before it installs anything."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[3] / "Makefile"


@pytest.mark.parametrize(
    ("version", "fits"),
    [((3, 10, 9), False), ((3, 11, 0), True), ((3, 14, 7), True), ((3, 15, 0), False)],
)
def test_a_python_without_ray_is_refused(tmp_path: Path, version: tuple[int, ...], fits: bool) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    python = tmp_path / "python"
    # Says that it is of that version, and refuses to make an environment.
    python.write_text(
        "#!/bin/sh\n"
        '[ "$1" = -c ] || exit 1\n'
        f'exec {sys.executable} -c "import sys; sys.version_info = {version}; $2"\n'
    )
    python.chmod(0o755)
    result = subprocess.run(
        ["make", "PYTHON=./python", "install"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode != 0
    refused = "needs Python 3.11 to 3.14; try: make PYTHON=python3.13 install" in result.stderr
    assert refused is not fits
