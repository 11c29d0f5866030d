"""What loading takes of main memory is foretold from the files, and refused where there is less."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from torch.nn import Module

from configs.models import GgufSource
from deployments import load_family
from deployments.errors import OutOfMemory
from deployments.host_memory import loading_takes, refuse_short_memory
from deployments.loading import load_pipeline
from deployments.placement import GIB
from tests import tiny_models
from tests.generation import LocalFiles, artifacts_of, failure_of, generation_request, model_spec

BFLOAT16 = {"default": "bfloat16"}


def taken(name: Any, folder: Path, *, kept: Any = (), transformer: Path | None = None, **changes: Any) -> int:
    files = LocalFiles(folder=folder, transformer=transformer)
    spec = model_spec(name, folder, **changes)
    return loading_takes(load_family(name).recipes[name], spec, files, kept)


def pipeline(name: Any, folder: Path, **changes: Any) -> Any:
    recipe = load_family(name).recipes[name]
    return load_pipeline(recipe, model_spec(name, folder, **changes), LocalFiles(folder=folder))


def mappings(folder: Path) -> list[range]:
    """Where this process's memory is that of a file in the folder."""
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    bounds = (line[0].split("-") for line in lines if line[-1].startswith(str(folder)))
    return [range(int(start, 16), int(end, 16)) for start, end in bounds]


@pytest.fixture
def short(monkeypatch):
    """Main memory, and swap space, of so many bytes."""

    def set_free(ram: int, swap: int = 0) -> None:
        monkeypatch.setattr("deployments.host_memory.free_ram", lambda: ram)
        monkeypatch.setattr("deployments.host_memory.free_swap", lambda: swap)

    return set_free


@pytest.mark.parametrize("name", tiny_models.PIPELINES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_foretold_are_the_weights_that_do_not_stay_in_their_files(name, dtype, folders):
    folder, changes = folders(name), {"dtype": {"default": dtype}}
    pipe = pipeline(name, folder, **changes)
    mapped = mappings(folder)
    weights = [w for part in pipe.components.values() if isinstance(part, Module) for w in part.parameters()]
    own = sum(w.nbytes for w in weights if not any(w.data_ptr() in place for place in mapped))
    assert (own > 0) == (dtype == "bfloat16")
    assert taken(name, folder, **changes) == pytest.approx(own, rel=0.2)


def test_shards_count_together_and_other_variants_do_not(folders, tmp_path):
    folder = Path(shutil.copytree(folders("wan_t2v"), tmp_path / "wan"))
    whole = taken("wan_t2v", folder, dtype=BFLOAT16)
    pipe = pipeline("wan_t2v", folder)
    shutil.rmtree(folder / "transformer")
    pipe.transformer.save_pretrained(folder / "transformer", max_shard_size="20KB")
    pipe.transformer.save_pretrained(folder / "transformer", variant="fp16")
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 3
    assert taken("wan_t2v", folder, dtype=BFLOAT16) == whole


def test_a_gguf_file_counts_with_its_size_in_place_of_the_transformer(folders, tmp_path):
    file = tmp_path / "ltx.gguf"
    tiny_models.write_gguf(folders("ltx_t2v"), file)
    transformer = GgufSource(path=str(file))
    assert taken("ltx_t2v", folders("ltx_t2v"), transformer=file) == file.stat().st_size
    assert model_spec("ltx_t2v", transformer=transformer).transformer == transformer


def test_what_another_model_leaves_here_counts_no_more(folders):
    every = taken("flux", folders("flux"), dtype=BFLOAT16)
    rest = taken("flux", folders("flux"), dtype=BFLOAT16, kept={"text_encoder_2", "vae"})
    assert 0 < rest < every


async def test_a_model_that_main_memory_cannot_take_says_so_and_is_not_read(
    folders, make_family, short, monkeypatch
):
    family = make_family("flux")
    request = generation_request(model_spec("flux", folders("flux"), dtype=BFLOAT16))
    short(ram=1000)
    with monkeypatch.context() as patch:
        patch.setattr("deployments.engine.load_pipeline", lambda *_: pytest.fail("it was read"))
        failed = await failure_of(family, request)
    assert failed.code == OutOfMemory.code
    assert "of main memory while it is loaded" in failed.message
    assert "converted in main memory" in failed.hint
    short(ram=GIB)
    assert len(await artifacts_of(family, request)) == 1


async def test_a_model_in_its_files_precision_is_loaded_however_little_is_free(folders, make_family, short):
    short(ram=0)
    request = generation_request(model_spec("flux", folders("flux")))
    assert len(await artifacts_of(make_family("flux"), request)) == 1


def test_swap_space_is_room_too(short):
    spec = model_spec("flux")
    short(ram=10 * GIB, swap=30 * GIB)
    refuse_short_memory(spec, 39 * GIB)
    with pytest.raises(OutOfMemory, match=r"takes 41\.0 GiB of main memory .* 40\.0 GiB are free"):
        refuse_short_memory(spec, 41 * GIB)
