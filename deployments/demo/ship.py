"""Put what was trained where the server finds it, shared components once.

    python -m deployments.demo.ship demo-flux FOLDER/demo-flux/pipeline

A model that shares components comes after the model that keeps them.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
from pathlib import Path

from deployments.demo import WEIGHTS
from deployments.demo.folders import bytes_in

FLUX, SD35 = "demo-flux", "demo-sd35"
CLIP_COMPONENTS = ("vae", "transformer", "text_encoder", "tokenizer", "scheduler")
SHARED: dict[str, dict[str, tuple[str, str]]] = {
    "demo-flux-outline": {
        component: (FLUX, component)
        for component in ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
    },
    SD35: {
        "vae": (FLUX, "vae"),
        "tokenizer": (FLUX, "tokenizer"),
        "tokenizer_2": (FLUX, "tokenizer"),
        "tokenizer_3": (FLUX, "tokenizer_2"),
        "text_encoder_2": (SD35, "text_encoder"),
        "text_encoder_3": (FLUX, "text_encoder_2"),
    },
    **{
        f"demo-{family}-i2v": {component: (f"demo-{family}-t2v", component) for component in CLIP_COMPONENTS}
        for family in ("wan", "ltx")
    },
}
"""Of each model, the components whose files another one keeps (or it itself, elsewhere)."""


def ship(name: str, trained: Path, out: Path = WEIGHTS) -> Path:
    """Copy a pipeline folder to `out`/`name`, with relative links for what it shares."""
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(trained, folder)
    for component, owner in SHARED.get(name, {}).items():
        _share(folder / component, out.joinpath(*owner))
    return folder


def _share(component: Path, owned: Path) -> None:
    """Raises ValueError where the files differ: then these models were not trained together."""
    names = [file.name for file in component.iterdir()]
    same, _, _ = filecmp.cmpfiles(component, owned, names, shallow=False)
    if len(same) != len(names):
        raise ValueError(f"{component} is not what {owned} is")
    shutil.rmtree(component)
    component.symlink_to(Path("..") / owned.parent.name / owned.name, target_is_directory=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    parser.add_argument("pipeline", type=Path)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    folder = ship(arguments.name, arguments.pipeline, arguments.out)
    print(f"{folder}: {bytes_in(folder) / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
