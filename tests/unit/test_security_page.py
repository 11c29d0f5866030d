"""Every line of SECURITY.md is held by tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = [
    [cell.strip() for cell in line.strip("|\n").split("|")]
    for line in (ROOT / "SECURITY.md").read_text("utf-8").splitlines()
    if line.startswith("|") and not line.startswith(("| threat", "|---"))
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_the_tests_of_a_threat_exist(line: list[str]) -> None:
    files = line[2].split(", ")
    for file in files:
        assert re.search(r"^(async )?def test_", (ROOT / "tests" / file).read_text("utf-8"), re.MULTILINE)


def test_the_page_is_short() -> None:
    assert len(LINES) > 12
    assert len((ROOT / "SECURITY.md").read_text("utf-8").splitlines()) < 45
