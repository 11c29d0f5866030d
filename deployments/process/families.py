"""What a model process runs, and what its imports are."""

from __future__ import annotations

from functools import partial
from importlib import import_module

from configs.models import FamilyName
from deployments import FAMILIES, load_family
from deployments.contract import Generator
from deployments.weights import DownloadSettings, fetch

#: What the libraries import only when a pipeline is loaded, placed or called: found by comparing
#: sys.modules before and after a job of each demo model.
LATE_IMPORTS = (
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PpmImagePlugin",
    "accelerate.hooks",
    "av.subtitles.stream",
    "diffusers.guiders",
    "diffusers.loaders.single_file",
    "diffusers.quantizers.gguf",
    "diffusers.schedulers.scheduling_ddpm",
    "diffusers.schedulers.scheduling_deis_multistep",
    "diffusers.schedulers.scheduling_dpmsolver_singlestep",
    "diffusers.schedulers.scheduling_edm_euler",
    "diffusers.schedulers.scheduling_k_dpm_2_ancestral_discrete",
    "diffusers.schedulers.scheduling_k_dpm_2_discrete",
    "diffusers.schedulers.scheduling_unipc_multistep",
)


def make_family(name: FamilyName, downloads: DownloadSettings, *, previews: bool) -> Generator:
    """The class that serves `name`, with nothing loaded. Imports torch and diffusers."""
    return load_family(name)(fetch=partial(fetch, settings=downloads), previews=previews)


def import_all() -> None:
    """Import what any family needs, up to the first step of a job."""
    for name in FAMILIES:
        load_family(name)
    for module in LATE_IMPORTS:
        import_module(module)
