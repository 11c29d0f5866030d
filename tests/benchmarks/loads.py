"""The families on their own: load models as they are told, a line of JSON each.

Reads lines `{"model": NAME, "fresh": BOOL}`: a fresh load finds nothing loaded, another one whatever was
loaded before. Answers with the seconds from the request until the first step could begin. Nothing of the
server runs here.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from contextlib import aclosing

import torch

from configs.models import ModelSpec
from configs.registry import BUILTIN_FILE, read_models
from deployments import load_family
from deployments.contract import GenerationRequest, Progress
from deployments.engine import Family
from tests.generation import fetch_local, generation_request


def request_of(spec: ModelSpec) -> GenerationRequest:
    """The smallest picture or clip, in as few steps as may be."""
    limits = spec.limits
    return generation_request(
        spec,
        width=limits.width.min,
        height=limits.height.min,
        num_inference_steps=max(limits.steps.min, 2),
        max_sequence_length=32,
    )


async def load(family: Family, spec: ModelSpec, *, fresh: bool) -> float:
    """Seconds until the model is loaded."""
    if fresh:
        await family.unload()
    started, loaded = time.perf_counter(), 0.0
    async with aclosing(family.generate((request_of(spec),))) as events:
        async for each in events:
            if isinstance(each.event, Progress) and each.event.step == 0:
                loaded = time.perf_counter() - started
    return loaded


def main() -> None:
    torch.set_num_threads(1)
    specs = {spec.name: spec for spec in read_models(BUILTIN_FILE)}
    families: dict[str, Family] = {}
    for line in sys.stdin:
        wish = json.loads(line)
        spec = specs[wish["model"]]
        if spec.family not in families:
            families[spec.family] = load_family(spec.family)(fetch=fetch_local)
            gc.freeze()  # As a model process does.
        print(json.dumps(asyncio.run(load(families[spec.family], spec, fresh=wish["fresh"]))), flush=True)


if __name__ == "__main__":
    main()
