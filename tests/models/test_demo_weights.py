import json

import pytest

from deployments.demo import WEIGHTS
from deployments.demo.folders import bytes_in

CLASSES = {
    "demo-flux": "FluxPipeline",
    "demo-flux-outline": "FluxPipeline",
    "demo-sd35": "StableDiffusion3Pipeline",
    "demo-wan-t2v": "WanPipeline",
    "demo-wan-i2v": "WanImageToVideoPipeline",
    "demo-ltx-t2v": "LTXPipeline",
    "demo-ltx-i2v": "LTXImageToVideoPipeline",
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_shipped_folder_names_its_real_class_and_has_every_component(name: str) -> None:
    index = json.loads((WEIGHTS / name / "model_index.json").read_text())
    assert index["_class_name"] == CLASSES[name]
    assert "_name_or_path" not in index
    components = [key for key, value in index.items() if isinstance(value, list) and value[0]]
    assert components
    for component in components:
        assert any((WEIGHTS / name / component).glob("*.json")), component


def test_all_weights_together_are_small() -> None:
    assert bytes_in(WEIGHTS) < 40e6


def test_shared_components_are_links_inside_the_weights() -> None:
    links = [path for path in WEIGHTS.rglob("*") if path.is_symlink()]
    assert links
    assert all(path.resolve().is_relative_to(WEIGHTS.resolve()) for path in links)
    assert all(path.exists() and not path.readlink().is_absolute() for path in links)
