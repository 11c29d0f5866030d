"""Another's application on the same Ray cluster: it answers with its process's number."""

from __future__ import annotations

import os
from typing import Any

from ray import serve


@serve.deployment
class Neighbour:
    def __call__(self, request: Any) -> str:
        return str(os.getpid())


app = Neighbour.bind()
