"""The pipeline on its own: reads a request a line (JSON), calls diffusers, answers a line.

The time is that of `pipe(...)` from the prompt to the finished PIL picture: text encoding, all steps, and
the decoder. Loading is not in it. Nothing of the server runs here.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any

import diffusers
import torch
import transformers
from diffusers import FluxPipeline


def load(folder: str, threads: int) -> FluxPipeline:
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(threads)
    pipe = FluxPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def call(pipe: FluxPipeline, arguments: dict[str, Any], seeds: list[int]) -> dict[str, Any]:
    """A picture for each seed, all by one call."""
    started = time.perf_counter()
    prompts = {name: [arguments[name]] * len(seeds) for name in ("prompt", "negative_prompt")}
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    pictures = pipe(**(arguments | prompts), generator=generators).images
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "pixels": [hashlib.sha256(p.tobytes()).hexdigest() for p in pictures]}


def main() -> None:
    pipe = load(sys.argv[1], int(sys.argv[2]))
    for line in sys.stdin:
        print(json.dumps(call(pipe, **json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
