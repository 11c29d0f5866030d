"""The graph with replicas of FLUX that do not start while the file is there that SABOTAGE names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ray.serve import Application

from serve_app import graph
from serve_app.replica import FamilyReplica


class Sabotaged(FamilyReplica):
    def __init__(self, family: Any, *arguments: Any) -> None:
        if family == "flux" and Path(os.environ["SABOTAGE"]).exists():
            raise ImportError("no such library")
        super().__init__(family, *arguments)


def build_app(args: dict[str, Any]) -> Application:
    graph.FamilyReplica = Sabotaged
    return graph.build_app(args)
