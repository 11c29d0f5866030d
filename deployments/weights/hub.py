"""What the Hub says about a repository."""

from __future__ import annotations

import re

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.hf_api import ModelInfo, RepoSibling

from deployments.weights.cache import HubFile, Snapshot, snapshot_of
from deployments.weights.parts import HubPlace
from deployments.weights.patience import Patience
from deployments.weights.places import DownloadSettings

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class NotAHub(Exception):
    """What answered does not speak as a Hugging Face Hub does."""


def look_up(place: HubPlace, settings: DownloadSettings) -> tuple[Snapshot, dict[str, HubFile]]:
    """The commit that the revision is now, and its files; both are remembered in the cache.

    Raises:
        httpx2.HTTPError, OSError: as huggingface_hub raises them.
        NotAHub: something else answers at the endpoint.
    """
    info = _ask(place, settings)
    if info.sha is None:
        raise NotAHub
    files = {sibling.rfilename: _file(sibling) for sibling in info.siblings or []}
    snapshot = snapshot_of(settings.cache, place, info.sha)
    snapshot.remember(files.values())
    return snapshot, files


def _ask(place: HubPlace, settings: DownloadSettings) -> ModelInfo:
    api = HfApi(endpoint=settings.endpoint, token=settings.token, library_name="cyberimage")
    patience = Patience(settings)
    while True:
        try:
            return api.model_info(
                place.repo, revision=place.revision, files_metadata=True, timeout=settings.timeout_s
            )
        except (httpx2.HTTPError, OSError) as error:
            patience.bear(error)
        except UnicodeEncodeError:  # Of the token.
            raise
        except (ValueError, KeyError, TypeError) as error:  # Such as the login page of a network.
            raise NotAHub from error


def _file(sibling: RepoSibling) -> HubFile:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    size = sibling.lfs.size if sibling.lfs else sibling.size
    if digest is None or size is None or not _DIGEST.fullmatch(digest):
        raise NotAHub
    return HubFile(name=sibling.rfilename, size=size, digest=digest)
