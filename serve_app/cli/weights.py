"""A model's files, as the commands see them: are they here, how much is missing, get them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from configs.models import ModelSpec
from configs.settings import Settings
from serve_app.cli.errors import CommandError

if TYPE_CHECKING:
    from deployments.weights import DownloadSettings
    from serve_app.cli.surroundings import Report


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightState:
    """`missing_gb` is estimated from the registry's size of the whole; unfinished files count as there."""

    present: bool
    missing_gb: float = 0.0
    #: False for a folder of this machine: nobody can download what is not in it.
    downloadable: bool = True
    #: False where another tool has downloaded it, and perhaps left files out: `fetch` asks the Hub.
    certain: bool = True


def weight_state(spec: ModelSpec, settings: Settings) -> WeightState:
    """Looked up on this machine only; asks no network."""
    from deployments.weights import status

    found = status(spec, download_settings(settings))
    missing = 0.0 if found.present else max(spec.download_gb - found.bytes_present / 1e9, 0)
    downloadable = spec.download_enabled and _is_on_the_hub(spec)
    return WeightState(
        present=found.present, missing_gb=missing, downloadable=downloadable, certain=found.certain
    )


def fetch(spec: ModelSpec, settings: Settings, report: Report) -> None:
    """Download what is missing, if the disk has room for it. Raises CommandError with what to do.

    A model that jobs may not download is: who asks for it by name means it.
    """
    from deployments import weights
    from deployments.errors import GenerationError

    wanted = spec.model_copy(update={"download_enabled": True})
    try:
        weights.fetch(wanted, settings=download_settings(settings), progress=report)
    except GenerationError as error:
        raise CommandError(str(error), hint=error.hint) from error


def _is_on_the_hub(spec: ModelSpec) -> bool:
    """Whether any part of the model comes from there."""
    return any(getattr(source, "repo", None) for source in (spec.source, spec.transformer))


def download_settings(settings: Settings) -> DownloadSettings:
    from deployments.weights import DownloadSettings

    return DownloadSettings(
        cache_dir=settings.weights_dir,
        token=settings.hf_token.get_secret_value() if settings.hf_token else None,
        offline=settings.hub_offline,
        endpoint=settings.hub_endpoint,
    )
