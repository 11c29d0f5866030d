from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from configs.hardware import Gpu
from configs.models import ModelSpec
from configs.registry import BUILTIN_FILE, read_models
from configs.settings import Settings
from serve_app.cli import doctor
from serve_app.cli.fitting import Fit, Memory, judge
from serve_app.cli.machine import Machine, existing_parent, port_is_free, probe
from serve_app.cli.verdict import verdict
from serve_app.cli.weights import WeightState

MODELS = {spec.name: spec for spec in read_models(BUILTIN_FILE)}
HERE = WeightState(present=True)


@pytest.fixture(autouse=True)
def _usable_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "gpu_problem", lambda: None)


def missing(spec: ModelSpec) -> WeightState:
    return WeightState(present=False, missing_gb=spec.download_gb)


@pytest.mark.parametrize(
    ("model", "gpu_gb", "ram_gb", "fit"),
    [
        ("flux-1-dev", 80, 64, Fit.FULL),
        ("flux-1-dev", 36, 8, Fit.FULL),
        ("flux-1-dev", 32, 64, Fit.OFFLOAD),
        ("flux-1-dev", 12, 64, Fit.OFFLOAD),
        ("flux-1-dev", 24, 16, Fit.NOT),
        ("flux-1-dev", 4, 64, Fit.NOT),
        ("wan2.1-t2v-1.3b", 24, 16, Fit.FULL),
        ("demo-flux", 2, 4, Fit.FULL),
    ],
)
def test_memory_decides_how_a_model_runs_on_a_gpu(model: str, gpu_gb: float, ram_gb: float, fit: Fit) -> None:
    assert judge(MODELS[model], Memory(ram_gb=ram_gb, gpus_gb=(gpu_gb,))).fit is fit


@pytest.mark.parametrize(
    ("model", "ram_gb", "fit"),
    [("demo-flux", 4, Fit.FULL), ("flux-1-dev", 64, Fit.CPU), ("flux-1-dev", 16, Fit.NOT)],
)
def test_ram_decides_where_there_is_no_gpu(model: str, ram_gb: float, fit: Fit) -> None:
    assert judge(MODELS[model], Memory(ram_gb=ram_gb)).fit is fit


def test_the_memory_mode_of_a_model_is_honoured() -> None:
    flux = MODELS["flux-1-dev"]
    small, large = Memory(ram_gb=64, gpus_gb=(32,)), Memory(ram_gb=64, gpus_gb=(80,))
    assert judge(flux.model_copy(update={"memory": "full"}), small).fit is Fit.NOT
    assert judge(flux.model_copy(update={"memory": "offload"}), large).fit is Fit.OFFLOAD


def test_the_largest_gpu_counts_and_not_their_sum() -> None:
    flux = MODELS["flux-1-dev"]
    assert judge(flux, Memory(ram_gb=8, gpus_gb=(12, 80))).fit is Fit.FULL
    assert judge(flux, Memory(ram_gb=8, gpus_gb=(24, 24))).fit is Fit.NOT


def test_a_model_that_does_not_fit_says_what_it_needs() -> None:
    reason = judge(MODELS["flux-1-dev"], Memory(ram_gb=16, gpus_gb=(24,))).reason
    assert reason == "needs 35 GB of GPU memory, 23.0 GB can be used, and 16 GB of RAM do not hold the rest"


def test_a_gated_model_needs_a_token(machine: Machine, rtx4090: Gpu) -> None:
    flux, big = MODELS["flux-1-dev"], replace(machine, ram_gb=64, gpus=(rtx4090,))
    found = verdict(flux, big, missing(flux))
    assert not found.servable
    assert found.text.endswith(
        "accept the licence at https://huggingface.co/black-forest-labs/FLUX.1-dev and set HF_TOKEN"
    )
    assert verdict(flux, replace(big, has_token=True), missing(flux)).servable
    assert verdict(flux, big, HERE).servable


def test_a_model_to_download_says_how_much_and_how_much_is_free(machine: Machine, rtx4090: Gpu) -> None:
    wan, big = MODELS["wan2.1-t2v-1.3b"], replace(machine, ram_gb=64, gpus=(rtx4090,))
    assert verdict(wan, big, missing(wan)).text == "fits; needs a download of 29 GB with 50 GB free"
    full = verdict(wan, replace(big, weights_disk_free_gb=5), missing(wan))
    assert (full.servable, full.text) == (False, "fits, but it needs a download of 29 GB with 5.0 GB free")


def test_nothing_is_downloaded_offline(machine: Machine, rtx4090: Gpu) -> None:
    wan, big = MODELS["wan2.1-t2v-1.3b"], replace(machine, ram_gb=64, gpus=(rtx4090,), hub_offline=True)
    assert not verdict(wan, big, missing(wan)).servable
    assert verdict(wan, big, HERE).servable


def test_a_local_model_without_its_files_cannot_be_served(machine: Machine) -> None:
    lost = WeightState(present=False, downloadable=False)
    found = verdict(MODELS["demo-flux"], machine, lost)
    assert not found.servable
    assert "its files are missing" in found.text


def test_doctor_judges_every_known_model(run, machine: Machine) -> None:
    result = run("doctor", probe=lambda settings: machine)
    assert result.exit_code == 0
    assert "no NVIDIA GPU found" in result.stdout
    assert "HF_TOKEN is not set" in result.stdout
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.split()[2:3]}
    assert rows["demo-flux"][1:5] == ["image", "yes", "yes", "fits"]
    assert rows["flux-1-dev"][1:4] == ["image", "no", "no"]
    assert set(MODELS) <= set(rows)


def test_doctor_shows_the_gpus(run, machine: Machine, rtx4090: Gpu) -> None:
    result = run("doctor", probe=lambda settings: replace(machine, gpus=(rtx4090,)))
    assert "RTX 4090, 24.0 GiB, 23.0 GiB free" in result.stdout


def test_a_gpu_that_torch_cannot_use_serves_the_demo_models_alone(
    run, machine: Machine, rtx4090: Gpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "gpu_problem", lambda: "The NVIDIA driver on your system is too old")
    big = replace(machine, ram_gb=64, gpus=(rtx4090,), has_token=True)
    result = run("doctor", probe=lambda settings: big)
    assert "problem the GPU cannot be used: The NVIDIA driver on your system is too old" in result.stdout
    printed = json.loads(run("doctor", "--json", probe=lambda settings: big).stdout)
    assert {each["model"]: each["servable"] for each in printed["models"]} == {
        spec.name: spec.demo for spec in MODELS.values()
    }


@pytest.mark.parametrize(
    ("said", "problem"),
    [("print('')", None), ("print('too old')", "too old"), ("raise ImportError('no torch')", "no torch")],
)
def test_torch_is_asked_in_a_process_of_its_own(
    monkeypatch: pytest.MonkeyPatch, said: str, problem: str | None
) -> None:
    monkeypatch.undo()
    torch_before = "torch" in sys.modules
    monkeypatch.setattr(doctor, "ASK_TORCH", said)
    found = doctor.gpu_problem()
    assert found is None if problem is None else found is not None and problem in found
    assert ("torch" in sys.modules) == torch_before


def test_what_torch_is_asked_can_be_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert doctor.gpu_problem() is None


def test_doctor_notes_a_port_in_use_without_failing(run, machine: Machine) -> None:
    result = run("doctor", probe=lambda settings: replace(machine, port_free=False))
    assert result.exit_code == 0
    assert "port 7860 is in use" in result.stdout


@pytest.mark.parametrize(
    "change", [{"ray_problem": "No module named 'ray'"}, {"data_dir_writable": False}, {"ram_gb": 1.0}]
)
def test_doctor_exits_1_only_if_nothing_can_be_served(
    run, machine: Machine, change: dict[str, object]
) -> None:
    result = run("doctor", "--json", probe=lambda settings: replace(machine, **change))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["able"] is False


def test_doctor_prints_json_for_programs(run, machine: Machine) -> None:
    printed = json.loads(run("doctor", "--json", probe=lambda settings: machine).stdout)
    assert printed["machine"]["ram_gb"] == 23.0
    assert {entry["model"] for entry in printed["models"]} == set(MODELS)


def test_a_bad_setting_is_said_with_its_variable(run) -> None:
    result = run("doctor", "--models", "/no/such/models.yaml")
    assert result.exit_code == 1
    assert "error: /no/such/models.yaml: cannot be read" in result.stderr


def test_probing_finds_this_machine_and_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve_app.cli.machine._ray_problem", lambda: None)
    found = probe(Settings(data_dir=tmp_path / "not" / "yet", port=0, _env_file=None))
    assert found.cpu_cores >= 1
    assert found.ram_gb > 0
    assert found.data_dir_writable
    assert found.port_free
    assert not list(tmp_path.iterdir())


def test_free_space_is_looked_up_where_the_folder_will_be(tmp_path: Path) -> None:
    assert existing_parent(tmp_path / "a" / "b") == tmp_path


def test_a_port_somebody_listens_on_is_not_free(listening_port: int) -> None:
    assert not port_is_free("127.0.0.1", listening_port)
