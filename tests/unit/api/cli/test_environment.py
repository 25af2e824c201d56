"""Variables of ours that nothing reads are refused, and each secret may be in a file."""

import re
from pathlib import Path

import pytest

from api.cli.environment import (
    SettingsError,
    list_known_variables,
    read_cluster_settings,
    read_environment,
    read_settings,
)
from workers.settings import ClusterSettings

ROOT = Path(__file__).parents[4]
CLUSTER = {"LEADLINE_REDIS_URL": "redis://r", "LEADLINE_QDRANT_URL": "http://q", "LEADLINE_HOME": "/data"}


def test_a_misspelt_variable_stops_the_start_and_names_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_SANDBX", "bubblewrap")
    with pytest.raises(SettingsError, match="LEADLINE_SANDBX; did you mean LEADLINE_SANDBOX"):
        read_settings()
    monkeypatch.delenv("LEADLINE_SANDBX")
    monkeypatch.setenv("LEADLINE_QQQQQQ", "1")
    with pytest.raises(SettingsError, match="Unknown setting LEADLINE_QQQQQQ"):
        read_settings()


def test_variables_of_other_processes_clients_and_tests_are_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path))
    for name in ("LEADLINE_SWEEP_SECONDS", "LEADLINE_API_KEY", "LEADLINE_URL", "LEADLINE_DATA"):
        monkeypatch.setenv(name, "1")
    assert read_settings().home == tmp_path
    assert {
        "LEADLINE_DATABASE_URL_FILE",
        "LEADLINE_QDRANT_API_KEY_FILE",
        "LEADLINE_LLM_API_KEY_FILE",
    } <= list_known_variables()
    assert "LEADLINE_HOME_FILE" not in list_known_variables()


def test_a_secret_is_read_from_the_file_that_is_named_instead(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("llm_api_key", "judge_api_key", "reranker_api_key", "encoder_api_key"):
        (tmp_path / name).write_text(f"secret of {name}\n")
        monkeypatch.setenv(f"LEADLINE_{name.upper()}_FILE", str(tmp_path / name))
    settings = read_settings()
    assert settings.llm_api_key is not None
    assert settings.llm_api_key.get_secret_value() == "secret of llm_api_key"
    assert settings.judge_api_key is not None
    assert settings.reranker_api_key is not None
    assert settings.encoder_api_key is not None


def test_a_cluster_is_named_by_files_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert read_cluster_settings() is None
    (tmp_path / "url").write_text("postgresql+psycopg://db/leadline\n")
    for name, value in CLUSTER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LEADLINE_DATABASE_URL_FILE", str(tmp_path / "url"))
    named = read_cluster_settings()
    assert named is not None
    assert named.database_url.get_secret_value() == "postgresql+psycopg://db/leadline"


def test_a_secret_that_is_given_twice_or_not_readable_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LEADLINE_LLM_API_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="Cannot read the file named by LEADLINE_LLM_API_KEY_FILE"):
        read_settings()
    monkeypatch.setenv("LEADLINE_LLM_API_KEY", "x")
    with pytest.raises(SettingsError, match="both set"):
        read_settings()
    for name, value in CLUSTER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LEADLINE_LLM_API_KEY_FILE")
    with pytest.raises(SettingsError, match="LEADLINE_DATABASE_URL"):
        read_environment(ClusterSettings)


def test_an_empty_file_is_as_if_it_were_not_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty token would let in whoever sends none."""
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("LEADLINE_METRICS_TOKEN_FILE", str(tmp_path / "empty"))
    assert read_settings().metrics_token is None


def test_every_variable_that_is_described_is_known() -> None:
    described = set(re.findall(r"`(LEADLINE_[A-Z_]+)`", (ROOT / "docs" / "settings.md").read_text()))
    described |= set(re.findall(r"`(LEADLINE_[A-Z_]+)`", (ROOT / "deploy" / "README.md").read_text()))
    assert len(described) > 40
    assert described - list_known_variables() == set()
