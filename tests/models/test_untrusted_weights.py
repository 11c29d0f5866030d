"""A model's files may come from anyone: none of them gets to run code."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployments.flux import FluxRecipe
from deployments.loading import load_pipeline, load_transformer
from tests.generation import model_spec

ROOT = Path(__file__).parents[2]


@dataclass
class Files:
    folder: Path
    transformer: Path | None = None


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.file,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Exists once the payload has run."""
    return tmp_path / "code-has-run"


@pytest.fixture
def folder(folders, tmp_path: Path) -> Path:
    """A whole FLUX model, to be tampered with."""
    return Path(shutil.copytree(folders("flux"), tmp_path / "model"))


def poison(folder: Path, name: str, mark: Path) -> None:
    """Put a pickle in the place of the safetensors files."""
    for file in folder.glob("*.safetensors*"):
        file.unlink()
    (folder / name).write_bytes(pickle.dumps({"weight": Payload(mark)}))


def test_the_payload_would_run(mark: Path) -> None:
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()


@pytest.mark.parametrize(
    ("component", "name"),
    [
        ("transformer", "diffusion_pytorch_model.bin"),
        ("vae", "diffusion_pytorch_model.bin"),
        ("text_encoder", "pytorch_model.bin"),
        ("text_encoder_2", "pytorch_model.bin"),
    ],
)
def test_pickled_weights_are_never_loaded(folder: Path, mark: Path, component: str, name: str) -> None:
    poison(folder / component, name, mark)
    with pytest.raises((OSError, ValueError)):
        load_pipeline(FluxRecipe(), model_spec("flux", folder), Files(folder))
    assert not mark.exists()


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".safetensors", ".gguf", ""])
def test_a_pickle_is_no_transformer_whatever_it_is_called(folder: Path, mark: Path, suffix: str) -> None:
    file = folder / f"weights{suffix}"
    file.write_bytes(pickle.dumps({"weight": Payload(mark)}))
    with pytest.raises(Exception, match=r".") as refusal:
        load_transformer(FluxRecipe(), model_spec("flux", folder), folder, file)
    assert not mark.exists()
    if suffix not in (".safetensors", ".gguf"):
        assert isinstance(refusal.value, ValueError)
        assert "only safetensors and GGUF files are loaded" in str(refusal.value)


def test_a_pickle_in_a_transformers_folder_is_never_loaded(folder: Path, mark: Path) -> None:
    poison(folder / "transformer", "diffusion_pytorch_model.bin", mark)
    with pytest.raises((OSError, ValueError)):
        load_transformer(FluxRecipe(), model_spec("flux", folder), folder, folder)
    assert not mark.exists()


@pytest.mark.parametrize("component", ["transformer", "vae"])
def test_code_that_comes_with_a_model_is_never_run(folder: Path, mark: Path, component: str) -> None:
    code = f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Evil:\n    pass\n"
    for name in ("evil.py", "pipeline.py", "modeling_evil.py"):
        (folder / name).write_text(code)
        (folder / component / name).write_text(code)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {component: ["evil", "Evil"]}))
    config = folder / component / "config.json"
    remote = {"auto_map": {"AutoModel": "modeling_evil.Evil"}, "_class_name": "Evil"}
    config.write_text(json.dumps(json.loads(config.read_text()) | remote))
    with pytest.raises((OSError, ValueError, AttributeError, ImportError)):
        load_pipeline(FluxRecipe(), model_spec("flux", folder), Files(folder))
    assert not mark.exists()


#: `torch.load` and `yaml.load` run code, where `torch.save` and `yaml.safe_load` do not.
LOADERS = {"torch", "yaml", "pickle", "joblib", "dill", "cloudpickle", "numpy", "np"}
#: Reads back the state of its own training run.
OWN_STATE = {"deployments/demo/training/run.py"}
#: Frames between a replica and the model process that it started, over their socket pair.
OWN_PROCESSES = "deployments/process/"


def dangers(source: str) -> list[str]:
    """What in it could run code that it reads."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
            found.append(node.arg)
        if isinstance(node, ast.keyword) and node.arg in ("shell", "use_safetensors"):
            safe = isinstance(node.value, ast.Constant) and node.value.value is (
                node.arg == "use_safetensors"
            )
            found += [] if safe else [node.arg]
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("eval", "exec")
        ):
            found.append(node.func.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if owner in LOADERS and node.func.attr in ("load", "loads", "Unpickler"):
                found.append(f"{owner}.{node.func.attr}")
            found += [node.func.attr] if node.func.attr == "load_lora_weights" else []
    return found


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(f)",
        "pickle.loads(b)",
        "yaml.load(t)",
        "x.from_pretrained(p, trust_remote_code=True)",
        "x.from_pretrained(p, use_safetensors=False)",
        "np.load(f, allow_pickle=True)",
        "subprocess.run(c, shell=True)",
        "eval(t)",
    ],
)
def test_a_danger_is_found(source: str) -> None:
    assert dangers(source)


def test_no_module_of_the_product_can_run_what_it_reads() -> None:
    folders = ("configs", "storage", "deployments", "serve_app")
    files = {str(file.relative_to(ROOT)): file for name in folders for file in (ROOT / name).rglob("*.py")}
    found = {
        name: dangers(file.read_text("utf-8"))
        for name, file in files.items()
        if name not in OWN_STATE and not name.startswith(OWN_PROCESSES)
    }
    assert {name: each for name, each in found.items() if each} == {}
