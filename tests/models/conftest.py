"""The tiny pipelines: built once a session, a family of them made for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
import torch

from configs.models import FamilyName
from deployments import load_family
from deployments.engine import Family
from tests import tiny_models
from tests.generation import fetch_local

torch.set_num_threads(1)

Folders = Callable[[str], Path]
MakeFamily = Callable[[FamilyName], Family]


@pytest.fixture(scope="package")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The folder of the tiny model of a family's name."""
    root = tmp_path_factory.mktemp("tiny")
    return cache(lambda name: tiny_models.build(tiny_models.PIPELINES[name], root / name))


@pytest.fixture(scope="package")
def warm_families() -> Iterator[MakeFamily]:
    """One family of each name that stays loaded from test to test."""
    warm = cache(lambda name: load_family(name)(fetch=fetch_local))
    yield warm
    for name in get_args(FamilyName):
        warm(name).close()


@pytest.fixture
def make_family() -> Iterator[MakeFamily]:
    made: list[Family] = []

    def make(name: FamilyName) -> Family:
        made.append(load_family(name)(fetch=fetch_local))
        return made[-1]

    yield make
    for family in made:
        family.close()
