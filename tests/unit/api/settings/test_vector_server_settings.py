"""How a deployment chooses its vector server, and how a choice that cannot be had is refused at the start."""

import pytest

from api.cli.environment import SettingsError, read_environment
from retrieval.index.server.settings import QdrantServerSettings
from workers.settings import ClusterSettings

_NEEDED = {
    "DATABASE_URL": "postgresql+psycopg://leadline:secret@db/leadline",
    "REDIS_URL": "redis://valkey:6379/0",
    "QDRANT_URL": "http://qdrant:6333",
    "HOME": "/data",
}


def settings(monkeypatch: pytest.MonkeyPatch, **given: str) -> ClusterSettings:
    for name, value in {**_NEEDED, **given}.items():
        monkeypatch.setenv(f"LEADLINE_{name}", value)
    return read_environment(ClusterSettings)


def test_a_deployment_that_chooses_nothing_has_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(monkeypatch, QDRANT_SHARDS="")
    assert chosen.vector_server == QdrantServerSettings()
    assert chosen.vector_server_warning is None


def test_everything_that_is_chosen_reaches_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings(
        monkeypatch,
        QDRANT_SHARDS="6",
        QDRANT_REPLICAS="3",
        QDRANT_WRITE_CONSISTENCY="2",
        QDRANT_QUANTIZATION="int8",
        QDRANT_EF_CONSTRUCT="200",
        QDRANT_INDEXING_THRESHOLD_KB="5000",
        QDRANT_VECTORS="memory",
        QDRANT_WORDS="disk",
        QDRANT_READ_SECONDS="5",
        QDRANT_WRITE_SECONDS="30",
    )
    assert chosen.vector_server == QdrantServerSettings(
        shard_number=6,
        replication_factor=3,
        write_consistency_factor=2,
        quantization="int8",
        ef_construct=200,
        indexing_threshold_kb=5_000,
        vectors="memory",
        words="disk",
        read_timeout_seconds=5,
        write_timeout_seconds=30,
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("QDRANT_QUANTIZATION", "int4", "'none' or 'int8'"),
        ("QDRANT_VECTORS", "tape", "'disk' or 'memory'"),
        *((f"QDRANT_{name}", "0", "greater than or equal to 1") for name in ("SHARDS", "REPLICAS", "READ_SECONDS")),
        ("QDRANT_WRITE_CONSISTENCY", "-1", "greater than or equal to 1"),
        ("QDRANT_EF_CONSTRUCT", "many", "valid integer"),
        ("QDRANT_WRITE_CONSISTENCY", "2", "cannot wait for 2 replicas if there are 1.*LEADLINE_QDRANT_REPLICAS"),
        ("QDRANT_URL", "qdrant:6333", "'qdrant:6333' is not an address: use http://qdrant:6333"),
        ("QDRANT_URL", "http://one:6333, two:6333", "'two:6333' is not an address"),
        ("QDRANT_URL", " , ", "is not an address"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    with pytest.raises(SettingsError, match=f"LEADLINE_{name}: .*{words}"):
        settings(monkeypatch, **{name: value})


@pytest.mark.parametrize(
    ("replicas", "factor", "advised"),
    [("1", "1", None), ("2", "1", None), ("3", "2", None), ("2", "2", 1), ("3", "3", 2)],
)
def test_writes_that_must_reach_every_copy_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, replicas: str, factor: str, advised: int | None
) -> None:
    chosen = settings(monkeypatch, QDRANT_REPLICAS=replicas, QDRANT_WRITE_CONSISTENCY=factor)
    warning = chosen.vector_server_warning
    if advised is None:
        assert warning is None
    else:
        assert warning is not None
        assert "all writes stop" in warning
        assert f"Set LEADLINE_QDRANT_WRITE_CONSISTENCY to {advised}." in warning
