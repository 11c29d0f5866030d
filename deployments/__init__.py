"""What makes pictures: one module a family, imported only in the process that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal

from configs.models import FamilyName

if TYPE_CHECKING:
    from deployments.engine import Family

DeploymentName = Literal["Flux", "SD35", "WanT2V", "LTXT2V", "I2V"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyEntry:
    """Where a family lives: the deployment that serves it, and its class as `module:Class`."""

    deployment: DeploymentName
    path: str


FAMILIES: dict[FamilyName, FamilyEntry] = {
    "flux": FamilyEntry(deployment="Flux", path="deployments.flux:Flux"),
    "sd35": FamilyEntry(deployment="SD35", path="deployments.sd35:SD35"),
    "wan_t2v": FamilyEntry(deployment="WanT2V", path="deployments.wan_t2v:WanT2V"),
    "wan_i2v": FamilyEntry(deployment="I2V", path="deployments.i2v:I2V"),
    "ltx_t2v": FamilyEntry(deployment="LTXT2V", path="deployments.ltx_t2v:LTXT2V"),
    "ltx_i2v": FamilyEntry(deployment="I2V", path="deployments.i2v:I2V"),
}


def load_family(name: FamilyName) -> type[Family]:
    """The class that serves `name`. Imports torch and diffusers: call it only in a model process."""
    module, _, attribute = FAMILIES[name].path.partition(":")
    family: type[Family] = getattr(import_module(module), attribute)
    return family


__all__ = ["FAMILIES", "DeploymentName", "FamilyEntry", "load_family"]
