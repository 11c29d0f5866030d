"""Looking up between the layers of a model, so that a run ends in the middle of a long step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def looking_up(pipe: Any, look: Callable[[], None]) -> Iterator[None]:
    """Call `look` before each layer of the pipeline's encoders, transformer and decoder.

    What it raises ends the pass through the model. On an accelerator the layer is only being queued then:
    what has been queued before it is still computed.
    """

    def before(layer: torch.nn.Module, arguments: tuple[Any, ...]) -> None:
        look()

    handles = [layer.register_forward_pre_hook(before) for layer in layers(pipe)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def layers(pipe: Any) -> set[torch.nn.Module]:
    """What the models keep in lists, but for what has no parts: that is quick."""
    models = (each for each in pipe.components.values() if isinstance(each, torch.nn.Module))
    lists = (part for model in models for part in model.modules() if isinstance(part, torch.nn.ModuleList))
    return {layer for each in lists for layer in each.children() if next(layer.children(), None) is not None}
