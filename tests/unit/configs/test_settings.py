from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from configs.errors import SettingsError
from configs.hardware import Gpu, parse_gpus
from configs.settings import Settings, load_settings, to_environment


def test_nothing_need_be_set(tmp_path: Path) -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.models) == ("127.0.0.1", 7860, "auto")
    assert settings.data_dir == tmp_path / "data"
    assert settings.media_dir == tmp_path / "data/media"
    assert settings.resolved_database_url == f"sqlite:///{tmp_path}/data/cyberimage.sqlite3"
    assert settings.api_keys == ()


def test_the_environment_wins_over_the_dotenv_file_and_arguments_over_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path(".env").write_text("CYBERIMAGE_PORT=1\nCYBERIMAGE_HOST=0.0.0.0\nCYBERIMAGE_KEEP_WARM_S=7\n")
    monkeypatch.setenv("CYBERIMAGE_PORT", "2")
    monkeypatch.setenv("CYBERIMAGE_HOST", "::1")
    settings = load_settings(port=3, models=None)
    assert (settings.port, settings.host, settings.keep_warm_s) == (3, "::1", 7)
    assert settings.models == "auto"


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYBERIMAGE_API_KEYS", " key-one, two,,three ")
    assert [key.get_secret_value() for key in load_settings().api_keys] == ["key-one", "two", "three"]
    assert "key-one" not in repr(load_settings())


def test_an_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CYBERIMAGE_GPUS", "CYBERIMAGE_API_KEYS", "CYBERIMAGE_DATABASE_URL", "HF_TOKEN"):
        monkeypatch.setenv(name, "")
    settings = load_settings()
    assert (settings.gpus, settings.api_keys, settings.database_url, settings.hf_token) == (
        None,
        (),
        None,
        None,
    )


def test_another_process_finds_the_same_files_from_another_directory(tmp_path: Path) -> None:
    variables = to_environment(load_settings(models="mine.yaml", database_url="sqlite:///mine.db"))
    assert variables == {
        "CYBERIMAGE_DATA_DIR": str(tmp_path / "data"),
        "CYBERIMAGE_DATABASE_URL": f"sqlite:///{tmp_path}/mine.db",
        "CYBERIMAGE_MODELS": str(tmp_path / "mine.yaml"),
    }


@pytest.mark.parametrize(
    "url", ["sqlite:////srv/a.db", "sqlite:///:memory:", "sqlite://", "postgresql:///name", "nonsense"]
)
def test_addresses_without_a_relative_path_stay_as_they_are(url: str) -> None:
    assert load_settings(database_url=url).database_url == url


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
def test_the_hubs_own_variables_are_read(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "hf_x")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example")
    settings = load_settings()
    assert settings.hf_token is not None
    assert settings.hf_token.get_secret_value() == "hf_x"
    assert (settings.hub_offline, settings.hub_endpoint) == (True, "https://hub.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CYBERIMAGE_PORT", "http"),
        ("CYBERIMAGE_PORT", "65536"),
        ("CYBERIMAGE_GPUS", "0"),
        ("CYBERIMAGE_GPUS", "-1"),
        ("CYBERIMAGE_KEEP_WARM_S", "-1"),
        ("CYBERIMAGE_MAX_ATTEMPTS", "0"),
        ("CYBERIMAGE_MAX_PENDING", "0"),
        ("CYBERIMAGE_LEASE_S", "1"),
        ("CYBERIMAGE_MAX_UPLOAD_MB", "0"),
        ("CYBERIMAGE_KEEP_DAYS", "0"),
        ("CYBERIMAGE_KEEP_DAYS", "inf"),
        ("CYBERIMAGE_KEEP_DAYS", "1000000"),
        ("CYBERIMAGE_MAX_MEDIA_GB", "-1"),
        ("CYBERIMAGE_MAX_MEDIA_GB", "inf"),
        ("CYBERIMAGE_MAX_MEDIA_GB", "1e300"),
        ("CYBERIMAGE_LEASE_S", "1e12"),
        ("CYBERIMAGE_MAX_UPLOAD_MB", "1e305"),
        ("CYBERIMAGE_KEEP_WARM_S", "nan"),
        ("CYBERIMAGE_MAX_OVERTAKE_S", "inf"),
        ("CYBERIMAGE_NO_CAPACITY_S", "inf"),
        ("CYBERIMAGE_STOP_WITHIN_S", "nan"),
        ("CYBERIMAGE_WEBHOOK_SECRET", "too short"),
        ("CYBERIMAGE_WEBHOOK_SECRET", "whsec_no base64!"),
        ("CYBERIMAGE_WEBHOOK_HOSTS", "ftp://hooks.example"),
        ("CYBERIMAGE_WEBHOOK_HOSTS", "hooks.example/path"),
        ("CYBERIMAGE_WEBHOOK_HOSTS", "user@hooks.example"),
        ("HF_HUB_OFFLINE", "perhaps"),
    ],
)
def test_an_impossible_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: "):
        load_settings()


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("CYBERIMAGE_PORT=1\n# f\xfcr\n".encode("latin-1"), r"line 2: not UTF-8"),
        ("CYBERIMAGE_PORT=1\n".encode("utf-16"), r"line 1: not UTF-8"),
        (b"CYBERIMAGE_PORT=1\n\n\nCYBERIMAGE_API_KEYS='a','b'\n", r"line 4: not of the form NAME=value"),
        (b'#\r\n\r\nCYBERIMAGE_API_KEYS="a\r\n', r"line 3: not of the form NAME=value"),
        (b"CYBERIMAGE_API_KEYS: a", r"line 1: not of the form NAME=value"),
    ],
)
def test_a_dotenv_file_is_read_whole_or_not_at_all(data: bytes, problem: str) -> None:
    Path(".env").write_bytes(data)
    with pytest.raises(SettingsError, match=rf"^\.env, {problem}") as caught:
        load_settings()
    assert "API_KEYS" not in str(caught.value)


def test_a_dotenv_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SettingsError, match=rf"^{tmp_path}/\.env cannot be read \(Permission denied\)"):
        load_settings()


def test_a_dotenv_file_of_odd_but_good_lines_is_read() -> None:
    text = "\ufeffexport CYBERIMAGE_PORT = 1 # f\u00fcr\n\nCYBERIMAGE_API_KEYS='a,b'\nALONE\nTWO='1\n2'\n"
    Path(".env").write_text(text, "utf-8")
    settings = load_settings()
    assert (settings.port, len(settings.api_keys)) == (1, 2)


def test_a_folder_of_that_name_is_no_dotenv_file() -> None:
    Path(".env").mkdir()
    assert load_settings().port == 7860


def test_a_bad_argument_names_its_variable_too() -> None:
    with pytest.raises(SettingsError, match=r"^CYBERIMAGE_PORT: "):
        load_settings(port=-1)


def test_hosts_for_webhooks_are_reached_by_https_unless_http_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CYBERIMAGE_WEBHOOK_HOSTS", "Hooks.example, a.example:8443, http://10.0.0.5:8080")
    with pytest.raises(SettingsError, match=r"^CYBERIMAGE_WEBHOOK_SECRET: .*is missing"):
        load_settings()
    settings = load_settings(webhook_secret="a secret of 24 bytes, ok")
    assert settings.webhook_hosts == (
        "https://hooks.example",
        "https://a.example:8443",
        "http://10.0.0.5:8080",
    )


texts = st.from_regex(r"[!-+\--~]{1,8}", fullmatch=True)
changes = st.fixed_dictionaries(
    {},
    optional={
        "host": texts,
        "port": st.integers(0, 65535),
        "data_dir": st.just("/srv/x"),
        "database_url": texts,
        "gpus": st.integers(1, 8),
        "api_keys": st.lists(texts, max_size=3).map(tuple),
        "keep_warm_s": st.floats(0, 1e6),
        "weights_dir": st.just("/srv/w"),
        "hf_token": texts,
        "hub_offline": st.booleans(),
        "hub_endpoint": texts,
        "openai_endpoint": texts,
        "openai_api_key": texts,
        "dashboard_port": st.integers(1, 65535),
        "keep_days": st.floats(0.1, 1e4),
        "webhook_secret": st.just("whsec_bXkgc2VjcmV0IG9mIDI0IGJ5dGVzIQ=="),
    },
)


@settings(max_examples=25)
@given(changes)
def test_another_process_reads_the_same_settings_from_the_environment(changes: dict[str, Any]) -> None:
    before = load_settings(**changes)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in to_environment(before).items():
            patch.setenv(name, value)
        assert Settings(_env_file=None) == before


def test_defaults_are_not_passed_on(tmp_path: Path) -> None:
    assert to_environment(load_settings()) == {"CYBERIMAGE_DATA_DIR": str(tmp_path / "data")}


def test_the_drivers_table_is_read_as_gpus() -> None:
    table = "NVIDIA GeForce RTX 4090, 24564, 24210\nNVIDIA H100, 80GB, 81559, 80000\n"
    assert parse_gpus(table) == (
        Gpu(name="NVIDIA GeForce RTX 4090", memory=24564 << 20, free_memory=24210 << 20),
        Gpu(name="NVIDIA H100, 80GB", memory=81559 << 20, free_memory=80000 << 20),
    )


@pytest.mark.parametrize("unknown", ["[N/A]", "[Not Supported]"])
def test_a_gpu_with_unified_memory_has_the_machines(monkeypatch: pytest.MonkeyPatch, unknown: str) -> None:
    monkeypatch.setattr("configs.hardware.total_ram", lambda: 120 << 30)
    monkeypatch.setattr("configs.hardware.free_ram", lambda: 100 << 30)
    gpu = Gpu(name="NVIDIA GB10", memory=120 << 30, free_memory=100 << 30)
    assert parse_gpus(f"NVIDIA GB10, {unknown}, {unknown}\n") == (gpu,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "No devices were found",
        "1, 2",
        ", [N/A], [N/A]",
        "[Unknown Error], [N/A], [N/A]",
        "GPU, [Unknown Error], [Unknown Error]",
        "GPU, 24564, [N/A]",
    ],
)
def test_what_is_no_gpu_is_passed_over(text: str) -> None:
    assert parse_gpus(text) == ()


def test_a_default_that_was_asked_for_is_passed_on() -> None:
    assert to_environment(load_settings(port=7860))["CYBERIMAGE_PORT"] == "7860"


def test_a_picture_may_be_as_large_as_pillow_decodes_without_a_warning() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert load_settings(max_upload_pixels=Image.MAX_IMAGE_PIXELS)
    with pytest.raises(SettingsError, match="CYBERIMAGE_MAX_UPLOAD_PIXELS"):
        load_settings(max_upload_pixels=Image.MAX_IMAGE_PIXELS + 1)
