"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="CYBERIMAGE_URL",
        show_default="the server running on the data directory, else http://127.0.0.1:7860",
        help="Address of the server.",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="CYBERIMAGE_API_KEY", help="For a server that wants one.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Where jobs and pictures are kept.",
        show_default="CYBERIMAGE_DATA_DIR, else ./data",
    ),
]
Models = Annotated[
    str | None,
    typer.Option(
        "--models",
        help="`demo`, `full`, `auto` (full where there is a GPU), or the path of a models.yaml.",
        show_default="CYBERIMAGE_MODELS, else auto",
    ),
]
