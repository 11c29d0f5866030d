"""What goes wrong on the way from the Hub, as sentences that say what to do."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from configs.models import GgufSource, HuggingFaceSource, Licence, ModelSpec
from deployments.errors import (
    BrokenWeights,
    DownloadFailed,
    LicenceRequired,
    ModelUnavailable,
    NotEnoughDisk,
    RevisionNotFound,
)
from deployments.weights import DownloadSettings, fetch
from deployments.weights.parts import HubPlace
from deployments.weights.refusals import told_plainly
from tests.generation import model_spec
from tests.hub import STRANGER_TOKEN, Hub, pipeline_files

REPO = "lab/tiny"
PLACE = HubPlace(repo=REPO, revision="main")
TERMS = "https://huggingface.co/lab/tiny"
PIPELINE = pipeline_files(
    {"vae": ["diffusers", "Vae"]}, {"vae/config.json": b"{}", "vae/model.safetensors": b"v"}
)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add(REPO, PIPELINE)
        yield hub


@pytest.fixture(scope="module", autouse=True)
def close_connections() -> Iterator[None]:
    yield
    huggingface_hub.close_session()


@pytest.fixture
def settings(hub: Hub, tmp_path: Path) -> DownloadSettings:
    return DownloadSettings(
        cache_dir=tmp_path, endpoint=hub.endpoint, retry_wait_s=0.001, timeout_s=5, reserve_bytes=0
    )


def tiny(**source: Any) -> ModelSpec:
    source_of_tiny = HuggingFaceSource(**({"repo": REPO} | source))
    return model_spec("flux", name="tiny", source=source_of_tiny, licence=Licence(name="Tiny", url=TERMS))


def refusal(spec: ModelSpec, settings: DownloadSettings) -> ModelUnavailable:
    with pytest.raises(ModelUnavailable) as caught:
        fetch(spec, settings=settings, progress=lambda text, done: None)
    told = "".join(traceback.format_exception(caught.value))
    assert settings.token is None or settings.token not in told
    return caught.value


def test_a_gated_repository_wants_a_token(
    hub: Hub, settings: DownloadSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.weights.refusals.get_token", lambda: None)
    hub.add(REPO, PIPELINE, gated=True)
    error = refusal(tiny(), settings)
    assert isinstance(error, LicenceRequired)
    assert "is gated" in str(error)
    assert f"Accept its terms at {TERMS}" in str(error)
    assert "set HF_TOKEN" in str(error)


def test_a_gated_repository_wants_its_terms_accepted(hub: Hub, settings: DownloadSettings) -> None:
    hub.add(REPO, PIPELINE, gated=True)
    error = refusal(tiny(), replace(settings, token=STRANGER_TOKEN))
    assert isinstance(error, LicenceRequired)
    assert "has no access" in str(error)
    assert TERMS in str(error)


@pytest.mark.parametrize("token", ["hf_expired", "hf_two\nlines", "hf_ümlaut"])
def test_a_bad_token_is_called_so(settings: DownloadSettings, token: str) -> None:
    error = refusal(tiny(), replace(settings, token=token))
    assert isinstance(error, LicenceRequired)
    assert "the token in HF_TOKEN is not valid" in str(error)


def test_an_unknown_repository_is_named(settings: DownloadSettings) -> None:
    error = refusal(tiny(repo="lab/absent"), settings)
    assert isinstance(error, RevisionNotFound)
    assert "no repository lab/absent" in str(error)


def test_an_unknown_revision_is_named(settings: DownloadSettings) -> None:
    error = refusal(tiny(revision="v9"), settings)
    assert isinstance(error, RevisionNotFound)
    assert str(error) == "lab/tiny has no revision v9."


def test_an_unknown_gguf_file_is_named(hub: Hub, settings: DownloadSettings) -> None:
    hub.add("lab/gguf", {"a.gguf": b"a"})
    spec = tiny().model_copy(update={"transformer": GgufSource(repo="lab/gguf", file="b.gguf")})
    error = refusal(spec, settings)
    assert isinstance(error, BrokenWeights)
    assert "lab/gguf: The file b.gguf is missing" in str(error)


def test_a_hub_that_stays_down_is_named(hub: Hub, settings: DownloadSettings) -> None:
    hub.faults.status = 503
    error = refusal(tiny(), settings)
    assert isinstance(error, DownloadFailed)
    assert f"{hub.endpoint} answered with status 503" in str(error)


def test_no_network_is_a_failed_download(settings: DownloadSettings) -> None:
    error = refusal(tiny(), replace(settings, endpoint="http://127.0.0.1:9"))
    assert isinstance(error, DownloadFailed)
    assert "cannot be reached" in str(error)


def test_a_silent_hub_is_a_failed_download(hub: Hub, settings: DownloadSettings) -> None:
    hub.faults.pause_s = 0.3
    error = refusal(tiny(), replace(settings, timeout_s=0.05, attempts=1))
    assert isinstance(error, DownloadFailed)
    assert "did not answer in time" in str(error)


def test_something_else_than_a_hub_is_called_so(hub: Hub, settings: DownloadSettings) -> None:
    hub.faults.status = 200  # A page that is no model info.
    error = refusal(tiny(), settings)
    assert isinstance(error, DownloadFailed)
    assert "is not a Hugging Face Hub" in str(error)


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, NotEnoughDisk, "became full.*CYBERIMAGE_WEIGHTS_DIR"),
        (errno.EDQUOT, NotEnoughDisk, "became full"),
        (errno.EACCES, ModelUnavailable, "cannot be stored in .*denied"),
    ],
)
def test_a_failing_disk_is_called_so(
    settings: DownloadSettings, number: int, kind: type[ModelUnavailable], words: str
) -> None:
    error = OSError(number, "Permission denied")
    with pytest.raises(kind, match=words), told_plainly(tiny(), PLACE, settings):
        raise error


def test_settings_do_not_show_the_token() -> None:
    assert "hf_secret" not in repr(DownloadSettings(token="hf_secret"))


def test_settings_drop_what_secrets_and_variables_bring_along() -> None:
    settings = DownloadSettings(token="hf_secret\n", endpoint="https://mirror/")
    assert (settings.token, settings.endpoint) == ("hf_secret", "https://mirror")
    assert DownloadSettings(token="", endpoint="") == DownloadSettings()
