from __future__ import annotations

from pathlib import Path

import pytest
from dotenv import dotenv_values

from configs.variables import misspelt

EXAMPLE = Path(__file__).parents[3] / ".env.example"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CYBERIMAGE_APIKEYS", "CYBERIMAGE_API_KEYS"),
        ("CYBERIMAGE_KEEP_WARM", "CYBERIMAGE_KEEP_WARM_S"),
        ("CYBERIMAGE_MAX_PENDIN", "CYBERIMAGE_MAX_PENDING"),
        ("cyberimage_prot", "CYBERIMAGE_PORT"),
    ],
)
def test_a_misspelt_variable_is_told_with_the_nearest_name(name: str, meant: str) -> None:
    assert list(misspelt({name: "x"})) == [f"{name} is no setting; did you mean {meant}?"]


def test_a_name_like_no_other_is_told_alone() -> None:
    assert list(misspelt({"CYBERIMAGE_XYZZY": ""})) == ["CYBERIMAGE_XYZZY is no setting"]


def test_settings_in_any_case_and_what_is_not_ours_are_passed_over() -> None:
    names = ("CYBERIMAGE_PORT", "cyberimage_port", "CYBERIMAGE_URL", "CYBERIMAGE_HUB_OFFLINE", "PATH")
    assert list(misspelt(dict.fromkeys(names, "1"))) == []


def test_the_example_names_only_settings(tmp_path: Path) -> None:
    uncommented = tmp_path / ".env"
    uncommented.write_text(EXAMPLE.read_text("utf-8").replace("#CYBERIMAGE", "CYBERIMAGE"))
    assert list(misspelt(dotenv_values(uncommented))) == []
