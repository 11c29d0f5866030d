"""The files of a model: where they are on this machine, and how they get here."""

from deployments.weights.fetching import Progress, fetch, required_bytes, status
from deployments.weights.places import DownloadSettings, LocalModel, WeightsStatus

__all__ = [
    "DownloadSettings",
    "LocalModel",
    "Progress",
    "WeightsStatus",
    "fetch",
    "required_bytes",
    "status",
]
