"""Fetching models from a Hub on this machine, through the real huggingface_hub client."""

from __future__ import annotations

import multiprocessing
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from configs.models import GgufSource, HuggingFaceSource, LocalSource, ModelSpec
from deployments.errors import BrokenWeights, DownloadFailed, ModelUnavailable, NotEnoughDisk
from deployments.weights import DownloadSettings, LocalModel, fetch, required_bytes, status
from tests.generation import model_spec
from tests.hub import Hub, pipeline_files, shard_index

SHARDS = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
BIG = f"transformer/{SHARDS[0]}"
NEEDED = {
    "scheduler/scheduler_config.json": b'{"shift": 3}',
    "tokenizer/spiece.model": b"pieces",
    "transformer/config.json": b"{}",
    "transformer/diffusion_pytorch_model.safetensors.index.json": shard_index(*SHARDS),
    BIG: bytes(range(256)) * 400,
    f"transformer/{SHARDS[1]}": b"second",
    "vae/config.json": b'{"scale": 8}',
    "vae/diffusion_pytorch_model.safetensors": b"vae",
}
NOT_NEEDED = {"tiny.safetensors": b"all in one", "vae/model.fp16.safetensors": b"half", "README.md": b"#"}
#: What `partly` leaves out, and a component does not seem incomplete without.
LEFT_OUT = {"tokenizer/merges.txt": b"m e"}
COMPONENTS: dict[str, list[str | None]] = {
    name: ["diffusers", name.title()] for name in ("scheduler", "tokenizer", "transformer", "vae")
}
PIPELINE = pipeline_files(COMPONENTS, NEEDED)
REPO = "lab/tiny"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.add(REPO, PIPELINE | NOT_NEEDED)
        yield hub


@pytest.fixture(scope="module", autouse=True)
def close_connections() -> Iterator[None]:
    yield
    huggingface_hub.close_session()


@pytest.fixture
def settings(hub: Hub, tmp_path: Path) -> DownloadSettings:
    return DownloadSettings(
        cache_dir=tmp_path / "cache", endpoint=hub.endpoint, retry_wait_s=0.001, timeout_s=5, reserve_bytes=0
    )


def tiny(**changes: Any) -> ModelSpec:
    return model_spec("flux", **({"name": "tiny", "source": HuggingFaceSource(repo=REPO)} | changes))


def get(spec: ModelSpec, settings: DownloadSettings, **changes: Any) -> LocalModel:
    return fetch(spec, settings=settings, **({"progress": lambda text, done: None} | changes))


def partly(settings: DownloadSettings) -> Path:
    """What `hf download` with such patterns leaves in the cache: the snapshot's folder."""
    patterns = ["*.json", "*.safetensors", "*.model"]
    folder = huggingface_hub.snapshot_download(
        REPO, cache_dir=settings.cache, endpoint=settings.endpoint, allow_patterns=patterns
    )
    return Path(folder)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class TestWholeModels:
    def test_only_the_needed_files_are_downloaded(self, hub: Hub, settings: DownloadSettings) -> None:
        model = get(tiny(), settings)
        assert contents(model.folder) == PIPELINE
        assert model.transformer is None
        assert hub.downloads() == sorted(PIPELINE)

    def test_a_second_fetch_asks_for_nothing(self, hub: Hub, settings: DownloadSettings) -> None:
        first = get(tiny(), settings)
        hub.requests.clear()
        assert get(tiny(), settings) == first
        assert hub.requests == []

    def test_a_commit_can_be_asked_for(self, hub: Hub, settings: DownloadSettings) -> None:
        revision = hub.repositories[REPO].commit
        spec = tiny(source=HuggingFaceSource(repo=REPO, revision=revision))
        assert get(spec, settings).folder.name == revision
        assert status(spec, settings).present

    def test_other_tools_find_the_files(self, hub: Hub, settings: DownloadSettings) -> None:
        folder = get(tiny(), settings).folder
        cache = settings.cache
        found = huggingface_hub.snapshot_download(REPO, cache_dir=cache, local_files_only=True)
        assert Path(found) == folder
        scan = huggingface_hub.scan_cache_dir(cache)
        assert [(repo.repo_id, len(repo.revisions)) for repo in scan.repos] == [(REPO, 1)]
        assert not scan.warnings

    def test_files_of_other_tools_are_found(self, hub: Hub, settings: DownloadSettings) -> None:
        huggingface_hub.snapshot_download(REPO, cache_dir=settings.cache, endpoint=hub.endpoint)
        hub.requests.clear()
        assert not status(tiny(), settings).certain
        assert contents(get(tiny(), settings).folder) == PIPELINE | NOT_NEEDED
        assert len(hub.requests) == 1
        assert contents(get(tiny(), settings).folder) == PIPELINE | NOT_NEEDED
        assert len(hub.requests) == 1
        assert status(tiny(), settings).certain

    def test_what_other_tools_left_out_is_added(self, hub: Hub, settings: DownloadSettings) -> None:
        hub.add(REPO, PIPELINE | LEFT_OUT)
        folder = partly(settings)
        hub.requests.clear()
        assert get(tiny(), settings).folder == folder
        assert contents(folder) == PIPELINE | LEFT_OUT
        assert hub.downloads() == sorted(LEFT_OUT)

    def test_a_newer_commit_takes_over_the_files_that_are_the_same(
        self, hub: Hub, settings: DownloadSettings
    ) -> None:
        hub.add(REPO, PIPELINE | LEFT_OUT)
        partly(settings)
        with pytest.raises(NotEnoughDisk):
            get(tiny(), settings, free_bytes=lambda folder: 0)
        hub.add(REPO, PIPELINE | LEFT_OUT | {"vae/config.json": b'{"scale": 9}'})
        hub.requests.clear()
        get(tiny(), settings)
        assert hub.downloads() == sorted([*LEFT_OUT, "vae/config.json"])

    @pytest.mark.parametrize(
        ("changes", "requests"), [({"offline": True}, 0), ({"endpoint": "http://127.0.0.1:1"}, 0), ({}, 1)]
    )
    def test_what_other_tools_downloaded_is_enough_where_no_hub_answers(
        self, hub: Hub, settings: DownloadSettings, changes: dict[str, Any], requests: int
    ) -> None:
        hub.add(REPO, PIPELINE | LEFT_OUT)
        folder = partly(settings)
        hub.requests.clear()
        hub.faults.status = 503
        assert get(tiny(), replace(settings, **changes)).folder == folder
        assert contents(folder) == PIPELINE
        assert len(hub.requests) == requests

    def test_of_a_model_that_may_not_be_downloaded_the_hub_is_not_asked(
        self, hub: Hub, settings: DownloadSettings
    ) -> None:
        folder = partly(settings)
        hub.requests.clear()
        assert get(tiny(download_enabled=False), settings).folder == folder
        assert hub.requests == []

    def test_the_token_goes_to_the_hub_and_not_to_its_storage(
        self, hub: Hub, settings: DownloadSettings
    ) -> None:
        hub.add(REPO, PIPELINE, gated=True)
        get(tiny(), replace(settings, token="hf_accepted"))
        assert hub.storage_tokens
        assert set(hub.storage_tokens) == {None}

    def test_a_fine_tune_brings_only_its_transformer(self, hub: Hub, settings: DownloadSettings) -> None:
        hub.add("lab/tuned", PIPELINE | {BIG: b"tuned"})
        spec = tiny(transformer=HuggingFaceSource(repo="lab/tuned", subfolder="transformer"))
        model = get(spec, settings)
        assert model.transformer is not None
        assert (model.transformer / SHARDS[0]).read_bytes() == b"tuned"
        assert sorted(p.name for p in (model.folder / "transformer").iterdir()) == [
            "config.json",
            "diffusion_pytorch_model.safetensors.index.json",
        ]
        assert not (model.transformer.parent / "vae").exists()

    def test_a_gguf_file_replaces_the_transformer(self, hub: Hub, settings: DownloadSettings) -> None:
        hub.add("lab/tiny-gguf", {"tiny-Q8_0.gguf": b"eight", "tiny-Q3_K_S.gguf": b"three"})
        spec = tiny(transformer=GgufSource(repo="lab/tiny-gguf", file="tiny-Q3_K_S.gguf"))
        model = get(spec, settings)
        assert model.transformer is not None
        assert (model.transformer.name, model.transformer.read_bytes()) == ("tiny-Q3_K_S.gguf", b"three")
        assert BIG not in hub.downloads()
        assert get(spec, replace(settings, offline=True)) == model

    def test_a_part_that_is_complete_stays_as_it_is(self, hub: Hub, settings: DownloadSettings) -> None:
        before = get(tiny(), settings)
        hub.add(REPO, PIPELINE | {BIG: b"a newer commit"})
        hub.add("lab/tiny-gguf", {"tiny.gguf": b"eight"})
        hub.requests.clear()
        after = get(tiny(transformer=GgufSource(repo="lab/tiny-gguf", file="tiny.gguf")), settings)
        assert after.folder == before.folder
        assert hub.downloads() == ["tiny.gguf"]

    def test_a_repository_of_pickles_is_refused(self, hub: Hub, settings: DownloadSettings) -> None:
        files = {name: data for name, data in PIPELINE.items() if not name.startswith("vae/diff")}
        hub.add(REPO, files | {"vae/diffusion_pytorch_model.bin": b"pickle"})
        with pytest.raises(BrokenWeights, match=r"lab/tiny.*vae/.*pickle"):
            get(tiny(), settings)
        assert "vae/diffusion_pytorch_model.bin" not in hub.downloads()


class TestInterruptions:
    def test_a_cut_connection_is_resumed(self, hub: Hub, settings: DownloadSettings) -> None:
        hub.faults.cut_after = {BIG: 30_000}
        hub.faults.cuts_left = 2
        model = get(tiny(), settings)
        assert (model.folder / BIG).read_bytes() == PIPELINE[BIG]
        assert hub.downloads().count(BIG) == 3

    def test_the_next_fetch_goes_on_where_the_last_one_ended(
        self, hub: Hub, settings: DownloadSettings
    ) -> None:
        hub.faults.cut_after = {BIG: 30_000}
        hub.faults.cuts_left = 1
        with pytest.raises(DownloadFailed, match="what was downloaded is kept"):
            get(tiny(), replace(settings, attempts=1))
        before = status(tiny(), settings)
        assert not before.present
        assert before.bytes_present >= 30_000
        hub.faults.cut_after = {BIG: len(PIPELINE[BIG]) - 30_000}  # Not reached by what is still missing.
        hub.faults.cuts_left = 1
        get(tiny(), replace(settings, attempts=1))
        assert status(tiny(), settings).present

    def test_without_ranges_a_file_begins_again(self, hub: Hub, settings: DownloadSettings) -> None:
        hub.faults.cut_after = {BIG: 30_000}
        hub.faults.cuts_left = 1
        hub.faults.no_ranges = True
        assert contents(get(tiny(), settings).folder) == PIPELINE

    def test_damaged_bytes_are_deleted(self, hub: Hub, settings: DownloadSettings) -> None:
        hub.faults.damaged = {BIG}
        with pytest.raises(DownloadFailed, match=r"00001-of-00002.* damaged.*Try again"):
            get(tiny(), settings)
        hub.faults.damaged = set()
        assert contents(get(tiny(), settings).folder) == PIPELINE

    def test_a_hub_that_fails_for_a_moment_is_asked_again(self, hub: Hub, settings: DownloadSettings) -> None:
        hub.faults.status = 503
        hub.faults.failures_left = 3
        assert contents(get(tiny(), settings).folder) == PIPELINE

    def test_a_truncated_file_is_downloaded_again(self, hub: Hub, settings: DownloadSettings) -> None:
        folder = get(tiny(), settings).folder
        (folder / BIG).resolve().write_bytes(b"after a crash")
        assert contents(get(tiny(), settings).folder) == PIPELINE

    def test_a_callback_that_raises_ends_the_download(self, hub: Hub, settings: DownloadSettings) -> None:
        class Cancelled(Exception):
            pass

        def cancel(text: str, done: float | None) -> None:
            if done is not None:
                raise Cancelled

        hub.faults.pause_s = 0.01
        with pytest.raises(Cancelled):
            get(tiny(), settings, progress=cancel)
        assert not status(tiny(), settings).present

    def test_progress_is_told_in_bytes(self, hub: Hub, settings: DownloadSettings) -> None:
        told: list[tuple[str, float | None]] = []
        get(tiny(), settings, progress=lambda text, done: told.append((text, done)))
        assert told[0] == ("Looking up tiny", None)
        assert told[-1] == ("Downloading tiny: 0.1 of 0.1 MB", 1.0)

    def test_required_bytes_are_those_still_missing(self, hub: Hub, settings: DownloadSettings) -> None:
        index = "transformer/diffusion_pytorch_model.safetensors.index.json"
        read_already = len(PIPELINE["model_index.json"]) + len(PIPELINE[index])
        total = sum(len(data) for data in PIPELINE.values())
        assert required_bytes(tiny(), settings) == total - read_already
        get(tiny(), settings)
        assert required_bytes(tiny(), settings) == 0


class TestSeveralAtOnce:
    def test_threads_share_one_download(self, hub: Hub, settings: DownloadSettings) -> None:
        hub.faults.pause_s = 0.002
        threads = [threading.Thread(target=get, args=(tiny(), settings)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert contents(get(tiny(), settings).folder) == PIPELINE
        assert hub.downloads().count(BIG) == 1

    def test_processes_share_one_download(self, hub: Hub, settings: DownloadSettings) -> None:
        hub.faults.pause_s = 0.002
        fork = multiprocessing.get_context("fork")
        processes = [fork.Process(target=get, args=(tiny(), settings)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0]
        assert contents(get(tiny(), settings).folder) == PIPELINE
        assert hub.downloads().count(BIG) == 1


class TestDisk:
    def test_too_small_a_disk_is_refused_before_the_weights(
        self, hub: Hub, settings: DownloadSettings
    ) -> None:
        roomy = replace(settings, reserve_bytes=10**9)
        with pytest.raises(NotEnoughDisk, match=r"tiny needs 1\.0 GB more in .*cache, where 0\.9 GB are"):
            get(tiny(), roomy, free_bytes=lambda folder: 900_000_000)
        assert BIG not in hub.downloads()

    def test_what_is_there_already_is_not_needed_again(self, hub: Hub, settings: DownloadSettings) -> None:
        get(tiny(), settings)
        (status(tiny(), settings).path / "vae/config.json").unlink()
        get(tiny(), settings, free_bytes=lambda folder: 100)


class TestOffline:
    def test_a_complete_snapshot_is_enough(self, hub: Hub, settings: DownloadSettings) -> None:
        get(tiny(), settings)
        hub.requests.clear()
        assert contents(get(tiny(), replace(settings, offline=True)).folder) == PIPELINE
        assert hub.requests == []

    def test_a_missing_model_is_to_be_pulled(self, hub: Hub, settings: DownloadSettings) -> None:
        with pytest.raises(ModelUnavailable, match="Run `cyberimage pull tiny` while online"):
            get(tiny(), replace(settings, offline=True))
        assert hub.requests == []

    def test_an_incomplete_snapshot_is_not_enough(self, hub: Hub, settings: DownloadSettings) -> None:
        folder = get(tiny(), settings).folder
        (folder / "tokenizer/spiece.model").unlink()
        with pytest.raises(ModelUnavailable, match="cyberimage pull"):
            get(tiny(), replace(settings, offline=True))

    def test_a_model_that_may_not_be_downloaded_is_not(self, hub: Hub, settings: DownloadSettings) -> None:
        with pytest.raises(ModelUnavailable, match="download_enabled"):
            get(tiny(download_enabled=False), settings)
        assert hub.requests == []


class TestLocalFolders:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name, data in PIPELINE.items():
            path = tmp_path / "registry" / "weights" / "tiny" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return tmp_path / "registry" / "weights" / "tiny"

    @pytest.fixture
    def settings(self, tmp_path: Path) -> DownloadSettings:
        return DownloadSettings(
            cache_dir=tmp_path / "cache", registry_dir=tmp_path / "registry", offline=True
        )

    def test_a_path_begins_at_the_registry(self, folder: Path, settings: DownloadSettings) -> None:
        spec = tiny(source=LocalSource(path="../registry/weights/tiny"))
        assert get(spec, settings) == LocalModel(folder=folder)
        assert status(spec, settings).present
        assert status(spec, settings).bytes_present == sum(len(data) for data in PIPELINE.values())

    def test_a_gguf_file_may_be_local(self, folder: Path, settings: DownloadSettings) -> None:
        (folder.parent / "t.gguf").write_bytes(b"x")
        spec = tiny(source=LocalSource(path=str(folder)), transformer=GgufSource(path="weights/t.gguf"))
        assert get(spec, settings) == LocalModel(folder=folder, transformer=folder.parent / "t.gguf")

    def test_a_missing_folder_is_named(self, settings: DownloadSettings) -> None:
        spec = tiny(source=LocalSource(path="elsewhere"))
        with pytest.raises(ModelUnavailable, match=r"folder .*/registry/elsewhere of tiny does not exist"):
            get(spec, settings)
        assert not status(spec, settings).present

    def test_a_folder_without_a_model_index_is_named(self, folder: Path, settings: DownloadSettings) -> None:
        (folder / "model_index.json").unlink()
        with pytest.raises(ModelUnavailable, match=r"weights/tiny: The file model_index.json is missing"):
            get(tiny(source=LocalSource(path="weights/tiny")), settings)

    def test_a_component_may_be_a_link(self, folder: Path, settings: DownloadSettings) -> None:
        shutil.move(folder / "vae", folder.parent / "vae")
        (folder / "vae").symlink_to(folder.parent / "vae")
        assert get(tiny(source=LocalSource(path=str(folder))), settings).folder == folder
