"""The server's settings: `CYBERIMAGE_*` variables and `.env`, read once."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Annotated, Any

from dotenv.parser import parse_stream
from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from configs.errors import SettingsError
from configs.webhooks import as_origin, signing_key

PREFIX = "CYBERIMAGE_"
DOTENV = Path(".env")
#: Beyond these a limit is none, and the arithmetic of dates and bytes ends.
MOST_DAYS = 36_500
MOST_GIGABYTES = 1_000_000
#: What Pillow decodes without a warning of a decompression bomb, which the models' processes refuse.
MOST_PIXELS = 89_478_485
#: What `models` may be beside the path of a file.
MODEL_SETS = ("auto", "demo", "full")


class Settings(BaseSettings):
    """Everything that can be set from outside. Field NAME is read from the variable CYBERIMAGE_NAME."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=DOTENV,
        env_ignore_empty=True,
        extra="ignore",
        allow_inf_nan=False,
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
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Comma-separated. Each sees its own jobs and media; a sole key sees all."
    )
    admin_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        default=(), description="Comma-separated. Keys that see everyone's jobs and control the queue."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Comma-separated public names under which the server is reached; *.name, *. Without API "
        "keys others are refused, as they are with keys once names are listed.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Comma-separated origins of web pages elsewhere that may use the API."
    )
    requests_per_minute: int | None = Field(
        default=None, ge=1, description="Of one client; more get 429. Admin keys are exempt."
    )
    max_pending_per_client: int | None = Field(
        default=None, ge=1, description="Waiting jobs of one client; more get 429. Admin keys are exempt."
    )
    max_outputs_per_day: int | None = Field(
        default=None,
        ge=1,
        description="Pictures and clips that one client may ask for on a day (UTC). Admin keys are exempt.",
    )

    keep_warm_s: float = Field(default=300, ge=0, description="How long an idle model stays loaded.")
    max_overtake_s: float = Field(
        default=60, ge=0, description="How long quicker jobs may overtake an older one, or twice its run."
    )
    batching: bool = Field(default=True, description="Run waiting jobs that are alike as one call.")
    max_attempts: int = Field(default=3, ge=1, description="Runs of a job whose worker keeps dying.")
    no_capacity_s: float = Field(
        default=600, ge=0, description="How long a job waits that needs more GPUs than there are."
    )
    preload: bool = Field(
        default=True, description="Fork model processes from one that has imported torch (Linux)."
    )
    previews: bool = Field(default=True, description="Show small pictures of jobs under way.")
    stop_within_s: float = Field(
        default=20, gt=0, description="How long a cancelled run may take before its process is killed."
    )
    max_pending: int = Field(default=10_000, ge=1, description="Waiting jobs; more get 429.")
    lease_s: float = Field(
        default=30, gt=1, le=86_400, description="How long a claim holds without being renewed."
    )
    max_upload_mb: float = Field(default=25, gt=0, le=1_000_000, description="Largest picture to upload, MB.")
    max_upload_pixels: int = Field(
        default=50_000_000, gt=0, le=MOST_PIXELS, description="Largest picture to upload, pixels."
    )

    keep_days: float | None = Field(
        default=None,
        gt=0,
        le=MOST_DAYS,
        description="Older pictures, clips and ended jobs go; favourites stay.",
    )
    max_media_gb: float | None = Field(
        default=None,
        gt=0,
        le=MOST_GIGABYTES,
        description="Room for media, GB (10^9 bytes); the oldest but favourites go first.",
    )
    webhook_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Comma-separated hosts to which jobs' ends may be told: host[:port] for https, or with "
        "http:// before it.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="Signs what is told to webhook_hosts: 16 bytes of text or more, or whsec_ and base64.",
    )

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

    openai_endpoint: str | None = Field(
        default=None,
        validation_alias=AliasChoices("openai_endpoint", "OPENAI_ENDPOINT"),
        description="Base address of an OpenAI-compatible chat API that enriches prompts.",
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("openai_api_key", "OPENAI_API_KEY")
    )
    openai_model: str = Field(default="gpt-4", validation_alias=AliasChoices("openai_model", "OPENAI_MODEL"))

    @field_validator(
        "api_keys", "admin_keys", "allowed_hosts", "cors_origins", "webhook_hosts", mode="before"
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(each.rstrip("/").lower() for each in value)
        for each in origins:
            if each != "*":
                _check_origin(each)
        return origins

    @field_validator("webhook_hosts")
    @classmethod
    def _are_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(map(as_origin, value))
        for each in origins:
            _check_origin(each)
        return origins

    @field_validator("webhook_secret")
    @classmethod
    def _can_sign(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None:
            signing_key(value.get_secret_value())
        elif info.data.get("webhook_hosts"):
            raise ValueError("is missing: what is told to CYBERIMAGE_WEBHOOK_HOSTS is signed with it")
        return value

    @field_validator("data_dir", "weights_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value is not None else None

    @field_validator("models")
    @classmethod
    def _absolute_file(cls, value: str) -> str:
        return value if value in MODEL_SETS else str(Path(value).expanduser().absolute())

    @field_validator("database_url")
    @classmethod
    def _absolute_sqlite(cls, value: str | None) -> str | None:
        scheme, _, file = (value or "").partition(":///")
        if scheme.partition("+")[0] != "sqlite" or not file or file.startswith((":", "file:")):
            return value
        return f"{scheme}:///{Path(file).absolute()}"

    @property
    def own_key(self) -> str | None:
        """A key with which this machine's own programs may ask its server."""
        return next((key.get_secret_value() for key in (*self.admin_keys, *self.api_keys)), None)

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir / 'cyberimage.sqlite3'}"

    @property
    def media_dir(self) -> Path:
        return self.data_dir / "media"


def load_settings(**overrides: Any) -> Settings:
    """The settings of the environment, changed by those overrides that are not None.

    Raises:
        SettingsError: names the variable, or the line of `.env`, and what is wrong with it.
    """
    _check_dotenv()
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


def variable_names() -> frozenset[str]:
    """Every variable that is a setting, the Hub's own included."""
    aliases = {
        str(alias).upper()
        for field in Settings.model_fields.values()
        if isinstance(field.validation_alias, AliasChoices)
        for alias in field.validation_alias.choices
    }
    return frozenset({_variable(name) for name in Settings.model_fields} | aliases)


def _check_dotenv() -> None:
    """Raises SettingsError where python-dotenv would go on without a line: it might be the one with the keys.

    The line itself is not quoted, for it may hold a secret.
    """
    text = _read_dotenv()
    for binding in parse_stream(StringIO(text, newline="")):
        if binding.error:
            # What was read for it begins with the empty lines before it.
            empty, _, _ = binding.original.string.partition(binding.original.string.lstrip())
            line = binding.original.line + empty.count("\n")
            problem = "not of the form NAME=value; quotes, where there are any, go around the whole value"
            raise SettingsError(f"{DOTENV}, line {line}: {problem}")


def _read_dotenv() -> str:
    """Empty where there is no such file. Raises SettingsError."""
    try:
        data = DOTENV.read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        return ""
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); let this user read it, or start elsewhere"
        raise SettingsError(f"{DOTENV.absolute()} {problem}") from error
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{DOTENV}, line {line}: not UTF-8; save the file in that encoding") from error


def _check_origin(text: str) -> None:
    scheme, _, rest = text.partition("://")
    if scheme not in ("http", "https") or not rest or not set(rest).isdisjoint("/@?# "):
        raise ValueError(f"{text!r} is no origin, such as https://studio.example or http://10.0.0.5:8080")


#: Settings that are known elsewhere by another name.
_OTHER_PREFIXES = {
    "hf_token": "HF_TOKEN",
    "hub_offline": "HF_HUB_OFFLINE",
    "hub_endpoint": "HF_ENDPOINT",
    "openai_endpoint": "OPENAI_ENDPOINT",
    "openai_api_key": "OPENAI_API_KEY",
    "openai_model": "OPENAI_MODEL",
}


def _variable(name: str) -> str:
    return _OTHER_PREFIXES.get(name, f"{PREFIX}{name.upper()}")


def _as_text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_as_text(part) for part in value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
