"""An interruptible training run: time budget, learning rate, averaged weights, state on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from deployments.demo.training.muon import Muon

WARM_UP_STEPS = 50
SAVE_SECONDS = 120.0
LOG_SECONDS = 30.0


class Run:
    """Trains `modules` for `minutes` of processor time, counted over all interruptions.

    Processor time, so that a busy machine costs patience and not quality. The learning rate warms up,
    stays level for `hold` of the time and then falls linearly to 1 %. The state file has weights,
    averages, optimizer and random states; a new Run on it goes on where it was.
    """

    def __init__(
        self,
        modules: nn.ModuleDict,
        state: Path,
        *,
        minutes: float,
        learning_rate: float,
        seed: int = 0,
        hold: float = 0.5,
        decay: float = 0.998,
        clock: Callable[[], float] = time.process_time,
    ) -> None:
        self.clock = clock
        self.modules, self.state = modules, state
        self.seconds, self.learning_rate, self.hold, self.decay = minutes * 60, learning_rate, hold, decay
        self.rng = Random(seed)
        self.step, self.elapsed, self.loss = 0, 0.0, 0.0
        self.optimizers = _optimizers(modules)
        self.averages = {name: value.detach().clone() for name, value in modules.named_parameters()}
        if state.exists():
            self._restore(torch.load(state, weights_only=False))

    @property
    def progress(self) -> float:
        """Fraction of the time that is spent."""
        return min(1.0, self.elapsed / self.seconds)

    def train(self, loss_of: Callable[[], Tensor], report: Callable[[], str]) -> None:
        """Minimise `loss_of()` until the time is spent; `report` ends each printed line."""
        saved = logged = self.elapsed
        while self.elapsed < self.seconds:
            begun = self.clock()
            self._descend(loss_of())
            self.elapsed += self.clock() - begun
            if self.elapsed - logged > LOG_SECONDS:
                logged = self.elapsed
                print(f"{self}, {report()}", flush=True)
            if self.elapsed - saved > SAVE_SECONDS:
                saved = self.elapsed
                self.save()
        self.save()

    def __str__(self) -> str:
        return f"{self.elapsed:6.0f} s, step {self.step}, loss {self.loss:.4f}"

    def save(self) -> None:
        """Write the state whole or not at all."""
        content = {
            "step": self.step,
            "elapsed": self.elapsed,
            "loss": self.loss,
            "modules": self.modules.state_dict(),
            "averages": self.averages,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "random": (self.rng.getstate(), torch.get_rng_state()),
        }
        part = self.state.with_suffix(".part")
        torch.save(content, part)
        os.replace(part, self.state)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the modules have their averaged weights."""
        kept = {name: value.detach().clone() for name, value in self.modules.named_parameters()}
        self._put(self.averages)
        try:
            yield
        finally:
            self._put(kept)

    def settle(self) -> None:
        """Leave the averaged weights in the modules: training is over."""
        self._put(self.averages)

    def _descend(self, loss: Tensor) -> None:
        rate = self.learning_rate * min(1.0, (self.step + 1) / WARM_UP_STEPS)
        rate *= min(1.0, max(0.01, (1 - self.progress) / (1 - self.hold)))
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = rate
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self._average(loss.item())

    @torch.no_grad()
    def _average(self, loss: float) -> None:
        weight = max(1 - self.decay, 9 / (10 + self.step))
        values = [value.detach() for value in self.modules.parameters()]
        torch._foreach_lerp_(list(self.averages.values()), values, weight)
        self.loss += (loss - self.loss) * max(0.02, 1 / self.step)

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for name, value in self.modules.named_parameters():
            value.copy_(weights[name])

    def _restore(self, content: dict[str, Any]) -> None:
        self.step, self.elapsed, self.loss = content["step"], content["elapsed"], content["loss"]
        self.modules.load_state_dict(content["modules"])
        self.averages = content["averages"]
        for optimizer, state in zip(self.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        python_state, torch_state = content["random"]
        self.rng.setstate(python_state)
        torch.set_rng_state(torch_state)
        print(f"going on from step {self.step}, {self.elapsed:.0f} s", flush=True)


def _optimizers(modules: nn.ModuleDict) -> list[torch.optim.Optimizer]:
    """Muon for the weights of hidden layers, AdamW for embeddings, the output layer, norms and biases."""
    hidden: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in modules.named_parameters():
        (hidden if _is_hidden(name, parameter) else others).append(parameter)
    return [Muon(hidden), torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0)]


def _is_hidden(name: str, parameter: Tensor) -> bool:
    if any(word in name for word in ("embed", "shared", "relative", "table")) or ".proj_out.weight" in name:
        return "single_transformer_blocks" in name
    return parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) >= 8
