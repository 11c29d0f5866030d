from itertools import count
from pathlib import Path
from random import Random

import pytest
from filelock import FileLock

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from deployments.demo import train as command  # noqa: E402
from deployments.demo.captions import caption  # noqa: E402
from deployments.demo.scenes import COLORS, sample_scene  # noqa: E402
from deployments.demo.training.flux import pack, unpack  # noqa: E402
from deployments.demo.training.muon import Muon, orthogonalised  # noqa: E402
from deployments.demo.training.run import Run  # noqa: E402
from deployments.demo.training.text_encoders import GRID, cells, trained_texts  # noqa: E402


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def new_run(state: Path, minutes: float = 1) -> Run:
    """A step takes half a second of its clock."""
    modules = nn.ModuleDict({"layer": nn.Linear(8, 8)})
    ticks = count(0.0, 0.5)
    return Run(modules, state, minutes=minutes, learning_rate=0.05, clock=lambda: next(ticks))


def train(run: Run) -> None:
    inputs = torch.eye(8)

    def loss() -> Tensor:
        outputs: Tensor = run.modules["layer"](inputs)
        return (outputs - 2 * inputs).square().mean()

    run.train(loss, str)


def test_training_lowers_the_loss_until_the_time_is_spent(tmp_path: Path) -> None:
    run = new_run(tmp_path / "state.pt")
    train(run)
    assert run.progress == 1
    assert run.step == 120
    assert run.loss < 0.25


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    first = new_run(tmp_path / "state.pt")
    train(first)
    drawn = first.rng.getstate()
    torch.manual_seed(1)
    second = new_run(tmp_path / "state.pt", minutes=2)
    assert (second.step, second.elapsed, second.rng.getstate()) == (first.step, first.elapsed, drawn)
    for name, value in first.modules.named_parameters():
        assert torch.equal(value, second.modules.get_parameter(name))
        assert torch.equal(first.averages[name], second.averages[name])
    train(second)
    assert second.step == 2 * first.step


def test_averaged_weights_are_lent_and_given_back(tmp_path: Path) -> None:
    run = new_run(tmp_path / "state.pt")
    train(run)
    weight = run.modules.get_parameter("layer.weight")
    before = weight.detach().clone()
    with run.averaged():
        assert torch.equal(weight, run.averages["layer.weight"])
    assert torch.equal(weight, before)


def test_an_orthogonalised_matrix_has_singular_values_near_one() -> None:
    for shape in ((8, 32), (32, 8), (3, 8, 16)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape)))
        assert values.min() > 0.4
        assert values.max() < 1.5


def test_matrices_of_one_shape_are_stepped_like_each_alone() -> None:
    gradients = torch.randn(3, 256, 32)
    together = [nn.Parameter(torch.zeros(256, 32)) for _ in gradients]
    alone = [nn.Parameter(torch.zeros(256, 32)) for _ in gradients]
    for parameters in (together, alone):
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
    Muon(together).step()
    for parameter in alone:
        Muon([parameter]).step()
    for one, other in zip(together, alone, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_unpacking_undoes_packing() -> None:
    latents = torch.randn(2, 4, 12, 16)
    assert pack(latents).shape == (2, 48, 16)
    assert torch.equal(unpack(pack(latents), 6, 8), latents)


def test_the_grid_has_each_thing_where_it_is() -> None:
    scene = sample_scene(Random(3), pair_share=1)
    colors, kinds = cells([scene])
    for thing in scene.things:
        cell = int(thing.y * GRID) * GRID + int(thing.x * GRID)
        assert COLORS[colors[0, cell]] == thing.color
        assert kinds[0, cell] > 0
    assert COLORS[colors[0, 0]] == scene.background
    assert kinds[0, 0] == 0


def test_finished_text_encoders_are_taken_as_they_are(tmp_path: Path) -> None:
    prompts = [caption(sample_scene(Random(3)))]
    first = trained_texts(tmp_path, minutes=0.001)
    again = trained_texts(tmp_path, minutes=100)
    assert torch.allclose(first.tokens(prompts, 24), again.tokens(prompts, 24), atol=1e-5)
    assert torch.allclose(first.pooled(prompts), again.pooled(prompts), atol=1e-5)
    assert not any(value.requires_grad for value in again.t5.parameters())


def test_a_second_training_of_the_same_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train", "demo-sd35", "--out", str(tmp_path)])
    with FileLock(tmp_path / "pictures.lock"), pytest.raises(SystemExit):
        command.main()
    assert f"another training works in {tmp_path}" in capsys.readouterr().err
