"""Which files of a repository or folder a model needs, judged by their names and the index files.

Needed are model_index.json, every small text file of each component that it names (configuration,
vocabulary), and the component's weights: safetensors, in one file or in the shards of an index. Checkpoints
at the root, ONNX, Flax, pickled weights and fp16 variants are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import PurePosixPath
from typing import Any

from deployments.errors import BrokenWeights
from deployments.weights.parts import Part

ReadJson = Callable[[str], Any]

INDEX_SUFFIX = ".safetensors.index.json"
_TEXT_SUFFIXES = {".json", ".txt", ".model", ".jinja", ".tiktoken"}
_PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
# What diffusers and transformers call the weights of a component.
_STEMS = ("diffusion_pytorch_model", "model")


def index_names(part: Part, names: Collection[str]) -> list[str]:
    """The files that `needed_names` reads."""
    if part.shape == "file":
        return []
    model_index = part.name("model_index.json")
    return sorted(n for n in names if n == model_index or (_is_index(n) and _is_within(n, part)))


def needed_names(part: Part, names: Collection[str], read: ReadJson) -> list[str]:
    """The files of `part` among `names`, without repetition.

    Args:
        names: every file of the place, with forward slashes.
        read: the parsed content of one of `index_names`.

    Raises:
        BrokenWeights: something that is needed is not among `names`.
    """
    return list(dict.fromkeys(_needed(part, frozenset(names), read)))


def _needed(part: Part, names: frozenset[str], read: ReadJson) -> Iterator[str]:
    match part.shape:
        case "file":
            yield _existing(part.inside, names)
        case "model":
            yield _existing(part.name("config.json"), names)
            yield from _component(part.inside or ".", names, read, with_weights=True)
        case "pipeline":
            model_index = _existing(part.name("model_index.json"), names)
            yield model_index
            for component in _components(model_index, read):
                with_weights = not (part.without_transformer and component == "transformer")
                yield from _component(part.name(component), names, read, with_weights=with_weights)


def _components(model_index: str, read: ReadJson) -> list[str]:
    """Entries of the form `"vae": ["diffusers", "AutoencoderKL"]`; absent components are [null, null]."""
    content = read(model_index)
    if not isinstance(content, dict):
        raise BrokenWeights(f"{model_index} is not a diffusers model index.")
    return [name for name, value in content.items() if isinstance(value, list) and value and value[0]]


def _component(folder: str, names: frozenset[str], read: ReadJson, *, with_weights: bool) -> Iterator[str]:
    inside = sorted(name for name in names if str(PurePosixPath(name).parent) == folder)
    if not inside:
        raise BrokenWeights(f"The component {folder}/ is missing.")
    yield from (n for n in inside if PurePosixPath(n).suffix in _TEXT_SUFFIXES and ".index." not in n)
    # Only models have a config.json; tokenizers, schedulers and processors name theirs otherwise.
    if with_weights and _join(folder, "config.json") in names:
        yield from _weights(folder, names, inside, read)


def _weights(folder: str, names: frozenset[str], inside: list[str], read: ReadJson) -> Iterator[str]:
    for stem in _STEMS:
        index, single = _join(folder, stem + INDEX_SUFFIX), _join(folder, stem + ".safetensors")
        if index in names:
            yield index
            yield from (_existing(_join(folder, shard), names) for shard in _shards(index, read))
            return
        if single in names:
            yield single
            return
    raise BrokenWeights(_no_weights(folder, inside))


def _shards(index: str, read: ReadJson) -> list[str]:
    try:
        return sorted(set(read(index)["weight_map"].values()))
    except (KeyError, TypeError, AttributeError) as error:
        raise BrokenWeights(f"{index} is not an index of safetensors files.") from error


def _no_weights(folder: str, inside: list[str]) -> str:
    where = "The model" if folder == "." else f"The component {folder}/"
    if any(PurePosixPath(name).suffix in _PICKLE_SUFFIXES for name in inside):
        return (
            f"{where} has its weights only as pickle files (.bin, .pt), which can run any code and are "
            "never loaded. Convert them to safetensors, or use a repository that has them."
        )
    return f"{where} has no safetensors weights."


def _existing(name: str, names: frozenset[str]) -> str:
    if name not in names:
        raise BrokenWeights(f"The file {name} is missing.")
    return name


def _is_index(name: str) -> bool:
    return name.endswith(INDEX_SUFFIX)


def _is_within(name: str, part: Part) -> bool:
    """Directly in the part, or in a folder of it."""
    parents = [str(parent) for parent in PurePosixPath(name).parents]
    return (part.inside or ".") in parents[:2]


def _join(folder: str, name: str) -> str:
    return str(PurePosixPath(folder) / name)
