from __future__ import annotations

import re
from pathlib import Path

from dotenv import dotenv_values
from pydantic.fields import FieldInfo

from configs.registry import load_registry
from configs.settings import Settings

EXAMPLE = Path(__file__).parents[4] / ".env.example"
#: Examples of settings that have no default value.
EXAMPLES = {
    "CYBERIMAGE_DATABASE_URL",
    "CYBERIMAGE_API_KEYS",
    "CYBERIMAGE_ADMIN_KEYS",
    "CYBERIMAGE_ALLOWED_HOSTS",
    "CYBERIMAGE_CORS_ORIGINS",
    "CYBERIMAGE_REQUESTS_PER_MINUTE",
    "CYBERIMAGE_MAX_PENDING_PER_CLIENT",
    "CYBERIMAGE_MAX_OUTPUTS_PER_DAY",
    "CYBERIMAGE_DASHBOARD_PORT",
    "CYBERIMAGE_KEEP_DAYS",
    "CYBERIMAGE_MAX_MEDIA_GB",
    "CYBERIMAGE_WEBHOOK_HOSTS",
    "CYBERIMAGE_WEBHOOK_SECRET",
    "CYBERIMAGE_GPUS",
    "CYBERIMAGE_WEIGHTS_DIR",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "OPENAI_ENDPOINT",
    "OPENAI_API_KEY",
}


def uncommented(tmp_path: Path, without: set[str]) -> Path:
    file = tmp_path / ".env"
    text = re.sub(r"^#(?=[A-Z0-9_]+=)", "", EXAMPLE.read_text("utf-8"), flags=re.MULTILINE)
    file.write_text("\n".join(line for line in text.splitlines() if line.partition("=")[0] not in without))
    return file


def variable(name: str, field: FieldInfo) -> str:
    aliases = getattr(field.validation_alias, "choices", ())
    return next((alias for alias in aliases if str(alias).isupper()), f"CYBERIMAGE_{name.upper()}")


def test_every_setting_is_documented(tmp_path: Path) -> None:
    documented = set(dotenv_values(uncommented(tmp_path, set())))
    assert {variable(name, field) for name, field in Settings.model_fields.items()} <= documented


def test_the_values_shown_are_the_defaults(tmp_path: Path) -> None:
    assert Settings(_env_file=uncommented(tmp_path, EXAMPLES)) == Settings(_env_file=None)


def test_the_examples_shown_are_valid(tmp_path: Path) -> None:
    values = dotenv_values(uncommented(tmp_path, set()))
    settings = Settings(_env_file=tmp_path / ".env")
    assert len(settings.api_keys) == 2
    registry = load_registry(
        Settings(models="demo", _env_file=None), environ={k: v or "" for k, v in values.items()}
    )
    assert next(iter(registry)) == "my-flux"
