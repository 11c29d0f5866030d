"""Values: where the files of a model are wanted, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import constants


@dataclass(frozen=True, kw_only=True)
class DownloadSettings:
    """How to reach the Hub and where to keep its files."""

    cache_dir: Path | None = None
    """Laid out as the Hugging Face cache; None is the cache that the other Hugging Face tools use."""

    token: str | None = field(default=None, repr=False)
    """None falls back to the token that `hf auth login` saved, if any."""

    offline: bool = False
    endpoint: str | None = None
    """Base address of the Hub or of a mirror; None is huggingface.co."""

    registry_dir: Path = Path()
    """Relative local paths start here."""

    timeout_s: float = 30.0
    """How long the Hub may stay silent."""

    attempts: int = 6
    """Tries in a row that bring no new byte, before giving up."""

    retry_wait_s: float = 1.0
    """Before the second try; doubled for each further one."""

    reserve_bytes: int = 1_000_000_000
    """Disk space that a download leaves free."""

    def __post_init__(self) -> None:
        # Mounted secrets end in a newline, and empty variables mean unset ones.
        object.__setattr__(self, "token", (self.token or "").strip() or None)
        object.__setattr__(self, "endpoint", (self.endpoint or "").rstrip("/") or None)

    @property
    def cache(self) -> Path:
        return (self.cache_dir or Path(constants.HF_HUB_CACHE)).expanduser().absolute()

    @property
    def is_offline(self) -> bool:
        return self.offline or bool(constants.is_offline_mode())


@dataclass(frozen=True, kw_only=True)
class LocalModel:
    """A complete model on this machine."""

    folder: Path
    """A diffusers folder, for `from_pretrained`. Where `transformer` is set, its own transformer may
    lack the weights."""

    transformer: Path | None = None
    """Replaces the folder's transformer: a folder for `from_pretrained`, or a GGUF file for
    `from_single_file`."""


@dataclass(frozen=True, kw_only=True)
class WeightsStatus:
    """What of a model is on this machine."""

    present: bool
    """Complete, as far as this machine knows."""

    bytes_present: int
    """Of the needed files, with what is there of unfinished downloads."""

    path: Path
    """The model's folder, or where it would be."""

    certain: bool = True
    """`fetch` would not ask the Hub whether another tool has left files out."""
