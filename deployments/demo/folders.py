"""Writing a pipeline as the kind of folder that a public repository holds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

PUBLIC_NAMES = {"T5Tokenizer": "T5TokenizerFast", "CLIPImageProcessorPil": "CLIPImageProcessor"}
"""What transformers 5 writes, and what the public repositories (and older releases) call it."""


def write_pipeline(pipeline: Any, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Replace `folder` by the pipeline's `from_pretrained` folder with weights of `dtype`, which it keeps."""
    for component in pipeline.components.values():
        if isinstance(component, torch.nn.Module):
            component.to(dtype)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    pipeline.save_pretrained(part)
    _tidy(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def bytes_in(folder: Path) -> int:
    """Size of the files in `folder`, those behind links left out."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _tidy(folder: Path) -> None:
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_text())
        if path.name == "tokenizer.json":  # else it keeps how its last text was cut and filled
            content |= {"truncation": None, "padding": None}
            path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
            continue
        content.pop("_name_or_path", None)
        if path.name == "model_index.json":
            content = {key: _public(value) for key, value in content.items()}
        path.write_text(json.dumps(content, indent=2) + "\n")


def _public(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2:
        return [value[0], PUBLIC_NAMES.get(value[1], value[1])]
    return value
