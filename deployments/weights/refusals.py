"""Failures of the network, the Hub and the disk, as sentences that say what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from configs.models import ModelSpec
from deployments.errors import (
    BrokenWeights,
    DownloadFailed,
    GenerationError,
    LicenceRequired,
    ModelUnavailable,
    NotEnoughDisk,
    RevisionNotFound,
)
from deployments.weights.hub import NotAHub
from deployments.weights.parts import HubPlace
from deployments.weights.places import DownloadSettings
from deployments.weights.transfer import Damaged

_TOKENS_PAGE = "https://huggingface.co/settings/tokens"
_LARGER_DISK = "Free some space, or point CYBERIMAGE_WEIGHTS_DIR at a larger disk."
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 50_000_000 else f"{size / 1e6:.1f} MB"


def offline(spec: ModelSpec) -> ModelUnavailable:
    return ModelUnavailable(
        f"{spec.name} is not complete on this machine, and the server is offline (HF_HUB_OFFLINE). "
        f"Run `cyberimage pull {spec.name}` while online."
    )


def download_disabled(spec: ModelSpec) -> ModelUnavailable:
    return ModelUnavailable(
        f"{spec.name} is not complete on this machine, and its download is turned off in the registry "
        f"(download_enabled). Run `cyberimage pull {spec.name}` to download it."
    )


def not_enough_disk(spec: ModelSpec, needed: int, free: int, settings: DownloadSettings) -> NotEnoughDisk:
    return NotEnoughDisk(
        f"{spec.name} needs {gigabytes(needed)} more in {settings.cache}, "
        f"where {gigabytes(free)} are free. {_LARGER_DISK}"
    )


@contextmanager
def told_plainly(spec: ModelSpec, place: HubPlace, settings: DownloadSettings) -> Iterator[None]:
    """Turn what goes wrong with `place` into a GenerationError. Its message never holds the token."""
    try:
        yield
    except (httpx2.LocalProtocolError, UnicodeEncodeError):
        # A header that cannot be sent. Without the cause: it quotes the header, and so the token.
        raise _bad_token(spec) from None
    except BrokenWeights as error:
        raise BrokenWeights(f"{spec.name} cannot be loaded from {place.repo}: {error}") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, HFValidationError, Damaged, NotAHub) as error:
        raise refusal(error, spec, place, settings) from error


def refusal(
    error: Exception, spec: ModelSpec, place: HubPlace, settings: DownloadSettings
) -> GenerationError:
    """The sentence for one failure."""
    match error:
        case Damaged():
            return DownloadFailed(
                f"{error} of {place.repo} arrived damaged and was deleted. Try again; what else was "
                "downloaded is kept."
            )
        case NotAHub():
            return DownloadFailed(
                f"What answers at {_host(settings)} is not a Hugging Face Hub. Check HF_ENDPOINT, "
                "the network and its proxy."
            )
        case HFValidationError():
            return RevisionNotFound(f"{place.repo} is not the name of a Hugging Face repository.")
        case HfHubHTTPError():
            return _answered(error, spec, place, settings)
        case OfflineModeIsEnabled():
            return offline(spec)
        case httpx2.HTTPError() | httpx2.InvalidURL():
            return _unreachable(error, spec, settings)
        case OSError() if error.errno in _DISK_FULL:
            return NotEnoughDisk(
                f"The disk of {settings.cache} became full while {spec.name} was downloading. {_LARGER_DISK} "
                "What was downloaded is kept."
            )
        case OSError() if error.errno is not None:
            return ModelUnavailable(f"{spec.name} cannot be stored in {settings.cache}: {error.strerror}.")
        case _:
            return DownloadFailed(f"{spec.name} could not be downloaded: {error}.")


def _answered(
    error: HfHubHTTPError, spec: ModelSpec, place: HubPlace, settings: DownloadSettings
) -> GenerationError:
    """The Hub answered with an error."""
    match error:
        case GatedRepoError():
            return _gated(spec, place, settings)
        case RevisionNotFoundError():
            return RevisionNotFound(f"{place.repo} has no revision {place.revision}.")
        case RemoteEntryNotFoundError():
            return RevisionNotFound(f"{place.repo} at {place.revision} lacks a file that it lists.")
        case RepositoryNotFoundError():
            return RevisionNotFound(
                f"There is no repository {place.repo} at {_host(settings)}, or it is private: "
                "then set HF_TOKEN to a token that may read it."
            )
        case DisabledRepoError():
            return ModelUnavailable(f"Hugging Face has disabled access to {place.repo}.")
    return _answered_with(error.response.status_code, spec, place, settings)


def _answered_with(
    status: int, spec: ModelSpec, place: HubPlace, settings: DownloadSettings
) -> GenerationError:
    if status == 401:
        return _bad_token(spec)
    if status == 403:
        return LicenceRequired(
            f"The token in HF_TOKEN may not read {place.repo}. Give it that permission at {_TOKENS_PAGE}, "
            f"and accept the terms at {_terms_page(spec, place)}."
        )
    if status == 429:
        return DownloadFailed(f"{_host(settings)} asks for fewer requests. Try again in some minutes.")
    return DownloadFailed(
        f"{_host(settings)} answered with status {status} while {spec.name} was downloading. "
        "Try again later; what was downloaded is kept."
    )


def _gated(spec: ModelSpec, place: HubPlace, settings: DownloadSettings) -> LicenceRequired:
    page = _terms_page(spec, place)
    if settings.token or get_token():
        return LicenceRequired(
            f"{place.repo} is gated, and the account of the token in HF_TOKEN has no access to it. "
            f"Accept its terms at {page} with that account."
        )
    return LicenceRequired(
        f"{place.repo} is gated. Accept its terms at {page}, make a token at {_TOKENS_PAGE}, "
        "set HF_TOKEN to it and restart the server."
    )


def _bad_token(spec: ModelSpec) -> LicenceRequired:
    return LicenceRequired(
        f"{spec.name} could not be downloaded because the token in HF_TOKEN is not valid. "
        f"Make a new one at {_TOKENS_PAGE}."
    )


def _unreachable(error: Exception, spec: ModelSpec, settings: DownloadSettings) -> DownloadFailed:
    problem = "did not answer in time" if isinstance(error, httpx2.TimeoutException) else "cannot be reached"
    return DownloadFailed(
        f"{_host(settings)} {problem} to download {spec.name} ({type(error).__name__}). "
        "Check the network and try again; what was downloaded is kept."
    )


def _terms_page(spec: ModelSpec, place: HubPlace) -> str:
    """Terms are accepted for each repository; the registry's page may be another part's."""
    page = spec.licence.url
    return page if page is not None and place.repo in page else f"https://huggingface.co/{place.repo}"


def _host(settings: DownloadSettings) -> str:
    endpoint: str = settings.endpoint or constants.ENDPOINT
    return endpoint.removeprefix("https://")
