"""Settings of the vector server of a cluster: its addresses, and how it keeps the index.

Measured on three nodes, killed in turn while documents were written and searched: with two copies of which one must
answer, nothing failed; with two of which both must answer, every write stopped while a node was away, and searches
failed; with three of which two must answer, nothing failed.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from retrieval.errors import RetryPolicy

_SEARCH_RETRIES = RetryPolicy(attempts=3, first_wait_seconds=0.1, longest_wait_seconds=0.5)
# Six waits that total 6.5 to 13 seconds, enough for a server to restart.
_WORK_RETRIES = RetryPolicy(attempts=7, first_wait_seconds=0.5, longest_wait_seconds=8.0)


Quantization = Literal["none", "int8"]
Place = Literal["disk", "memory"]


@dataclass(frozen=True)
class QdrantServerSettings:
    """Server settings; those from `shard_number` to `words` apply only when a collection is made.

    See `VectorServerSettings` for what each is, and for advice. `facet_values` is how many versions are counted in
    one request; if there are more, they are counted page by page.

    A search is given up soon, because a person waits; a worker's job may wait while the server starts again.
    `installation` is the id that a new collection carries.
    """

    collection: str = "leadline"
    installation: str | None = None
    shard_number: int = 1
    replication_factor: int = 1
    write_consistency_factor: int = 1
    quantization: Quantization = "none"
    ef_construct: int = 100
    indexing_threshold_kb: int = 20_000
    vectors: Place = "disk"
    words: Place = "memory"
    facet_values: int = 10_000
    read_timeout_seconds: int = 10
    write_timeout_seconds: int = 60
    search_retries: RetryPolicy = _SEARCH_RETRIES
    work_retries: RetryPolicy = _WORK_RETRIES


_DEFAULTS = QdrantServerSettings()
_SCHEMES = ("http://", "https://")


class VectorServerSettings(BaseSettings):
    """Settings from environment variables that begin with `LEADLINE_QDRANT_`.

    Those of a collection apply when it is made; `leadline index spread` moves an index to others.
    """

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    qdrant_collection: str = Field(
        _DEFAULTS.collection,
        pattern=r"^[A-Za-z0-9_-]{1,80}$",
        description="The name of the collection; installations that share a server need different ones.",
    )
    qdrant_shards: int = Field(
        _DEFAULTS.shard_number, ge=1, description="Parts of a collection; on several nodes, two for each or more."
    )
    qdrant_replicas: int = Field(
        _DEFAULTS.replication_factor, ge=1, description="Copies of each part, on different nodes."
    )
    qdrant_write_consistency: int = Field(
        _DEFAULTS.write_consistency_factor, ge=1, description="Copies that must have a write before it is answered."
    )
    qdrant_quantization: Quantization = Field(
        _DEFAULTS.quantization,
        description="`int8` keeps a quarter-sized copy of each vector in memory, and compares the best again in full.",
    )
    qdrant_ef_construct: int = Field(
        _DEFAULTS.ef_construct, ge=4, description="Neighbours that are considered when a vector is put into a graph."
    )
    qdrant_indexing_threshold_kb: int = Field(
        _DEFAULTS.indexing_threshold_kb,
        ge=1,
        description="How much of a segment's vectors may be compared one by one before it gets a graph.",
    )
    qdrant_vectors: Place = Field(_DEFAULTS.vectors, description="Where vectors are read from: `disk` or `memory`.")
    qdrant_words: Place = Field(_DEFAULTS.words, description="Where the index of words is: `disk` or `memory`.")
    qdrant_read_seconds: int = Field(
        _DEFAULTS.read_timeout_seconds, ge=1, description="How long an answer to a search or a count is waited for."
    )
    qdrant_write_seconds: int = Field(
        _DEFAULTS.write_timeout_seconds, ge=1, description="How long a write is waited for."
    )

    @field_validator("qdrant_url", check_fields=False)
    @classmethod
    def _require_addresses(cls, value: str) -> str:
        found = [address.strip() for address in value.split(",") if address.strip()]
        for address in found or [value]:
            if not address.startswith(_SCHEMES):
                raise ValueError(
                    f"{address!r} is not an address: write http://qdrant:6333, or several with commas between them"
                )
        return value

    @field_validator("qdrant_write_consistency")
    @classmethod
    def _require_enough_copies(cls, value: int, info: ValidationInfo) -> int:
        replicas = info.data.get("qdrant_replicas", value)
        if value > replicas:
            raise ValueError(
                f"a write cannot wait for {value} copies where there are {replicas}: lower it (1 is advised for two "
                f"copies, 2 for three), or raise LEADLINE_QDRANT_REPLICAS"
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
        """The reason why these settings, though possible, are not advised; None if they are."""
        copies = self.qdrant_replicas
        if copies > 1 and self.qdrant_write_consistency == copies:
            return (
                f"LEADLINE_QDRANT_WRITE_CONSISTENCY is {copies}, as many as there are copies: while one node is away, "
                f"all writes stop and searches may fail. Set it to {max(1, copies - 1)}."
            )
        return None
