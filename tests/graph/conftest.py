from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plain_cluster import Graph, plain_cluster


@pytest.fixture(scope="module")
def graph() -> Iterator[Graph]:
    with plain_cluster() as graph:
        yield graph
