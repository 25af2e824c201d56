"""What `leadline doctor` says of a cluster's vector server."""

from pathlib import Path

import pytest

from api.cli.doctor import Finding, _check_vector_server
from api.settings.settings import Settings
from tests.support.vector_servers import VectorServer


def findings(monkeypatch: pytest.MonkeyPatch, url: str, **given: str) -> dict[str, Finding]:
    needed = {"DATABASE_URL": "postgresql+psycopg://db/leadline", "REDIS_URL": "redis://valkey:6379/0", "HOME": "/data"}
    for name, value in {**needed, "QDRANT_URL": url, **given}.items():
        monkeypatch.setenv(f"LEADLINE_{name}", value)
    return {each.what: each for each in _check_vector_server(Settings())}


def test_the_server_and_what_is_chosen_are_said(double: VectorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(monkeypatch, double.url, QDRANT_SHARDS="6", QDRANT_QUANTIZATION="int8")
    assert found["vector server"].found.endswith(f" with 1 node at {double.url}")
    said = found["LEADLINE_QDRANT_…"].found
    assert said == "shards 6, replicas 1, write consistency 1, quantization int8, vectors disk, words memory"
    assert not any(each.advice for each in found.values())


def test_what_the_server_cannot_give_is_said(double: VectorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(monkeypatch, double.url, QDRANT_REPLICAS="2")
    assert found["vector server"].found.startswith("LEADLINE_QDRANT_REPLICAS is 2, which requires as many nodes")
    assert found["vector server"].advice.startswith("Set LEADLINE_QDRANT_REPLICAS to 1 or less")


def test_a_data_folder_has_no_vector_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LEADLINE_DATABASE_URL", raising=False)
    assert list(_check_vector_server(Settings(home=tmp_path))) == []
