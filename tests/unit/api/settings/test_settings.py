"""Settings that are two words in one variable, and how long answers are kept."""

import pytest
from pydantic import ValidationError

from api.settings.settings import Settings
from ingest.storage.operations.retention import Retention


def test_a_judge_is_a_server_and_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().helpers == {"judge": None, "router": None, "subcalls": None}
    monkeypatch.setenv("LEADLINE_JUDGE", "http://gpu:8000/v1  Qwen/Qwen3-8B ")
    assert Settings().helpers["judge"] == (("http://gpu:8000/v1",), "Qwen/Qwen3-8B")


@pytest.mark.parametrize("value", ["local", "http://gpu:8000/v1", "gpu Qwen/Qwen3-8B"])
def test_a_judge_without_address_or_name_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LEADLINE_JUDGE", value)
    with pytest.raises(ValidationError, match="LEADLINE_JUDGE must be a base URL and a model name"):
        Settings()


def test_how_long_answers_are_kept_is_said_in_days(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().retention == Retention(30, 90)
    monkeypatch.setenv("LEADLINE_ANSWERS_KEPT_DAYS", "0.5")
    assert Settings().retention == Retention(0.5, 90)
    monkeypatch.setenv("LEADLINE_ANSWERS_KEPT_DAYS", "0")
    with pytest.raises(ValidationError):
        Settings()


def test_trusted_proxies_are_addresses_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_TRUSTED_PROXIES", "10.0.0.7/8, ::1")
    assert [str(network) for network in Settings().proxies] == ["10.0.0.0/8", "::1/128"]
    monkeypatch.setenv("LEADLINE_TRUSTED_PROXIES", "proxy.test")
    with pytest.raises(ValidationError, match="trusted_proxies"):
        Settings()


def test_a_part_of_the_connections_is_kept_for_health() -> None:
    assert Settings().open_requests == 760
    assert Settings.model_validate({"requests_at_once": 5}).open_requests == 5
    assert Settings.model_validate({"connections_at_once": 1}).open_requests == 1
