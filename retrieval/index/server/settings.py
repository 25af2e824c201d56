"""Settings of a cluster's vector server: its addresses, and how it stores the index.

Three nodes were killed in turn during writes and searches. With two replicas and a write consistency of one, nothing
failed. With two replicas and a write consistency of two, all writes stopped while a node was down, and searches failed.
With three replicas and a write consistency of two, nothing failed.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from retrieval.errors import RetryPolicy

_SEARCH_RETRIES = RetryPolicy(attempts=3, first_wait_seconds=0.1, longest_wait_seconds=0.5)
# Retries for work other than searches. The six retry delays total 12 to 24 seconds, which is enough time for a server
# to restart.
_WORK_RETRIES = RetryPolicy(attempts=7, first_wait_seconds=0.5, longest_wait_seconds=8.0)


Quantization = Literal["none", "int8"]
StorageMedium = Literal["disk", "memory"]


@dataclass(frozen=True)
class QdrantServerSettings:
    """Settings of a vector server. The fields from `shard_number` to `words` apply only to new collections.

    `VectorServerSettings` describes these fields. `facet_values` is the maximum number of versions to count in one
    request; more versions are counted page by page. `installation` is the id stored in a new collection. Searches retry
    only briefly, because a user is waiting, whereas a worker's job can wait while the server restarts.
    """

    collection: str = "leadline"
    installation: str | None = None
    shard_number: int = 1
    replication_factor: int = 1
    write_consistency_factor: int = 1
    quantization: Quantization = "none"
    ef_construct: int = 100
    indexing_threshold_kb: int = 20_000
    vectors: StorageMedium = "disk"
    words: StorageMedium = "memory"
    facet_values: int = 10_000
    read_timeout_seconds: int = 10
    write_timeout_seconds: int = 60
    search_retries: RetryPolicy = _SEARCH_RETRIES
    work_retries: RetryPolicy = _WORK_RETRIES


_DEFAULTS = QdrantServerSettings()
_SCHEMES = ("http://", "https://")


class VectorServerSettings(BaseSettings):
    """Settings from environment variables that start with `LEADLINE_QDRANT_`.

    Settings of a collection apply when the collection is created. `leadline index spread` moves an index to new
    settings.
    """

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    qdrant_collection: str = Field(
        _DEFAULTS.collection,
        pattern=r"^[A-Za-z0-9_-]{1,80}$",
        description="The name of the collection. Installations that share a server need different names.",
    )
    qdrant_shards: int = Field(
        _DEFAULTS.shard_number,
        ge=1,
        description="The number of shards of a collection. With several nodes, use at least two for each node.",
    )
    qdrant_replicas: int = Field(
        _DEFAULTS.replication_factor, ge=1, description="The number of replicas of each shard, on different nodes."
    )
    qdrant_write_consistency: int = Field(
        _DEFAULTS.write_consistency_factor,
        ge=1,
        description="The number of replicas that must apply a write before it is confirmed.",
    )
    qdrant_quantization: Quantization = Field(
        _DEFAULTS.quantization,
        description="`int8` keeps a quarter-sized copy of each vector in memory, and compares the best ones in full.",
    )
    qdrant_ef_construct: int = Field(
        _DEFAULTS.ef_construct,
        ge=4,
        description="The number of neighbours to consider when a vector is added to a graph.",
    )
    qdrant_indexing_threshold_kb: int = Field(
        _DEFAULTS.indexing_threshold_kb,
        ge=1,
        description="A segment with more vectors than this (in KB) gets a graph; smaller segments are searched one "
        "vector at a time.",
    )
    qdrant_vectors: StorageMedium = Field(
        _DEFAULTS.vectors, description="Where vectors are stored: `disk` or `memory`."
    )
    qdrant_words: StorageMedium = Field(
        _DEFAULTS.words, description="Where the word index is stored: `disk` or `memory`."
    )
    qdrant_read_seconds: int = Field(
        _DEFAULTS.read_timeout_seconds, ge=1, description="The timeout of a search or count, in seconds."
    )
    qdrant_write_seconds: int = Field(
        _DEFAULTS.write_timeout_seconds, ge=1, description="The timeout of a write, in seconds."
    )

    @field_validator("qdrant_url", check_fields=False)
    @classmethod
    def _require_valid_addresses(cls, value: str) -> str:
        found = [address.strip() for address in value.split(",") if address.strip()]
        for address in found or [value]:
            if not address.startswith(_SCHEMES):
                raise ValueError(
                    f"{address!r} is not an address: use http://qdrant:6333, or several addresses separated by commas"
                )
        return value

    @field_validator("qdrant_write_consistency")
    @classmethod
    def _require_enough_replicas(cls, value: int, info: ValidationInfo) -> int:
        replicas = info.data.get("qdrant_replicas", value)
        if value > replicas:
            raise ValueError(
                f"a write cannot wait for {value} replicas if there are {replicas}: lower this number (use 1 for 2 "
                f"replicas, 2 for three), or raise LEADLINE_QDRANT_REPLICAS"
            )
        return value

    @property
    def vector_server(self) -> QdrantServerSettings:
        return QdrantServerSettings(
            collection=self.qdrant_collection,
            shard_number=self.qdrant_shards,
            replication_factor=self.qdrant_replicas,
            write_consistency_factor=self.qdrant_write_consistency,
            quantization=self.qdrant_quantization,
            ef_construct=self.qdrant_ef_construct,
            indexing_threshold_kb=self.qdrant_indexing_threshold_kb,
            vectors=self.qdrant_vectors,
            words=self.qdrant_words,
            read_timeout_seconds=self.qdrant_read_seconds,
            write_timeout_seconds=self.qdrant_write_seconds,
        )

    @property
    def vector_server_warning(self) -> str | None:
        """A warning about settings that are valid but not recommended, or None."""
        copies = self.qdrant_replicas
        if copies > 1 and self.qdrant_write_consistency == copies:
            return (
                f"LEADLINE_QDRANT_WRITE_CONSISTENCY is {copies}, the number of replicas. While a node is down, all "
                f"writes stop and searches may fail. Set LEADLINE_QDRANT_WRITE_CONSISTENCY to {max(1, copies - 1)}."
            )
        return None
