from pathlib import Path

import pytest

from deployments.demo.ship import SHARED, ship


def pipeline(folder: Path, *components: str, content: str = "weights") -> Path:
    for component in components:
        (folder / component).mkdir(parents=True)
        (folder / component / "model.safetensors").write_text(content)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return pipeline(tmp_path / "out" / "demo-flux", *SHARED["demo-flux-outline"]).parent


def test_shared_components_become_links_and_the_others_are_copied(tmp_path: Path, out: Path) -> None:
    trained = pipeline(tmp_path / "tuned", *SHARED["demo-flux-outline"], "transformer")
    folder = ship("demo-flux-outline", trained, out)
    assert (folder / "vae").resolve() == (out / "demo-flux" / "vae").resolve()
    assert not (folder / "vae").readlink().is_absolute()
    assert not (folder / "transformer").is_symlink()
    assert {path.name for path in folder.iterdir()} == {path.name for path in trained.iterdir()}


def test_a_component_that_differs_from_the_shared_one_is_refused(tmp_path: Path, out: Path) -> None:
    trained = pipeline(tmp_path / "tuned", *SHARED["demo-flux-outline"], content="other weights")
    with pytest.raises(ValueError, match="is not what"):
        ship("demo-flux-outline", trained, out)


def test_shipping_again_replaces_what_was_there(tmp_path: Path, out: Path) -> None:
    (out / "demo-flux" / "stale").mkdir()
    ship("demo-flux", pipeline(tmp_path / "trained", "vae", content="better"), out)
    assert [path.name for path in (out / "demo-flux").iterdir()] == ["vae"]
    assert (out / "demo-flux" / "vae" / "model.safetensors").read_text() == "better"
