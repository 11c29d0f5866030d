"""The server's settings: `CYBERIMAGE_*` variables and `.env`, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from configs.errors import SettingsError


class Settings(BaseSettings):
    """Everything that can be set from outside. Field NAME is read from the variable CYBERIMAGE_NAME."""

    model_config = SettingsConfigDict(
        env_prefix="CYBERIMAGE_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    host: str = "127.0.0.1"
    port: int = Field(default=7860, ge=0, le=65535, description="0 takes any free port.")
    data_dir: Path = Path("data")
    database_url: str | None = Field(default=None, description="Default: SQLite in data_dir.")
    models: str = Field(default="auto", description="auto, demo, full, or the path of a models.yaml.")
    gpus: int | None = Field(
        default=None, ge=1, description="Default: those present, or one logical GPU on the CPU."
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(default=(), description="Comma-separated.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(default=(), description="Comma-separated.")

    keep_warm_s: float = Field(default=300, ge=0, description="How long an idle model stays loaded.")
    max_overtake_s: float = Field(
        default=60, ge=0, description="How long jobs of a loaded model may overtake an older job."
    )
    max_attempts: int = Field(default=3, ge=1, description="Runs of a job whose worker keeps dying.")
    max_pending: int = Field(default=10_000, ge=1, description="Waiting jobs; more get 429.")
    lease_s: float = Field(default=30, gt=1, description="How long a claim holds without being renewed.")
    max_upload_mb: float = Field(default=25, gt=0, description="Largest picture to upload, MB.")
    max_upload_pixels: int = Field(default=50_000_000, gt=0)

    dashboard_host: str = "127.0.0.1"
    dashboard_port: int | None = Field(default=None, description="Default: 8265, or the next free one.")

    weights_dir: Path | None = Field(default=None, description="Default: the Hugging Face cache.")
    hf_token: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("hf_token", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
    )
    hub_offline: bool = Field(
        default=False,
        validation_alias=AliasChoices("hub_offline", "HF_HUB_OFFLINE", "CYBERIMAGE_HUB_OFFLINE"),
    )
    hub_endpoint: str | None = Field(
        default=None, validation_alias=AliasChoices("hub_endpoint", "HF_ENDPOINT", "CYBERIMAGE_HUB_ENDPOINT")
    )

    @field_validator("api_keys", "cors_origins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("data_dir", "weights_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value is not None else None

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'cyberimage.sqlite3'}"

    @property
    def media_dir(self) -> Path:
        return self.data_dir / "media"


def load_settings(**overrides: Any) -> Settings:
    """The settings of the environment, changed by those overrides that are not None.

    Raises:
        SettingsError: names the variable and what is wrong with it.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        lines = (f"{_variable(str(e['loc'][0]))}: {e['msg']}" for e in error.errors())
        raise SettingsError("; ".join(lines)) from error


def to_environment(settings: Settings) -> dict[str, str]:
    """Variables from which another process reads the same settings; what nobody has set is left out."""
    variables = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value is not None and (value != field.default or name in settings.model_fields_set):
            variables[_variable(name)] = _as_text(value)
    return variables


def _variable(name: str) -> str:
    return {"hf_token": "HF_TOKEN", "hub_offline": "HF_HUB_OFFLINE", "hub_endpoint": "HF_ENDPOINT"}.get(
        name, f"CYBERIMAGE_{name.upper()}"
    )


def _as_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_as_text(part) for part in value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
