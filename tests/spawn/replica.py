"""A replica for the tests: prints its model process's number, then leaves it at a deed for ever."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from deployments.process.launch import Launcher
from deployments.process.proxy import ModelProcess
from tests.model_process import Puppet, Wish


def poison() -> None:
    """As if torch had been imported, and had asked the driver for its devices."""
    torch: Any = SimpleNamespace(cuda=SimpleNamespace(_is_in_bad_fork=lambda: True))
    sys.modules["torch"] = torch


async def main(zygote: Path, deed: Any) -> None:
    model = ModelProcess(Puppet, title="puppet", launch=Launcher(zygote=zygote))
    async for _, what in model.generate(Wish(deeds=("tell", deed))):
        print(what["pid"], flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
