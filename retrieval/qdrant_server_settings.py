"""What a deployment chooses about its Qdrant server, free of the vendor's library."""

from dataclasses import dataclass
from typing import Literal

from retrieval.retries import RetryPolicy

_BRIEFLY = RetryPolicy(attempts=3, first_wait_seconds=0.1, longest_wait_seconds=0.5)
# Six waits of 6.5 to 13 seconds together: time enough for a server to be restarted.
_PATIENTLY = RetryPolicy(attempts=7, first_wait_seconds=0.5, longest_wait_seconds=8.0)


@dataclass(frozen=True)
class QdrantServerSettings:
    """Shards, replicas, quantization and `ef_construct` apply when the collection is made, and to that one only.

    A server of three nodes wants `shard_number` 6, `replication_factor` 2 and `write_consistency_factor` 2: a write
    that was answered is then on two disks. `quantization` "int8" keeps a quarter-sized copy of each vector in memory
    and rescores the best with the originals from disk. `indexing_threshold_kb` is how much of a segment's vectors may
    be compared exactly before a graph is built. `facet_values` is how many tenants, or versions of a tenant, are
    counted in one request; beyond it they are counted by reading.

    Someone waits for a search, so it is soon given up; a worker's job is worth waiting while the server starts again.
    """

    collection: str = "leadline"
    shard_number: int = 1
    replication_factor: int = 1
    write_consistency_factor: int = 1
    quantization: Literal["none", "int8"] = "none"
    ef_construct: int = 100
    indexing_threshold_kb: int = 20_000
    facet_values: int = 10_000
    read_timeout_seconds: int = 10
    write_timeout_seconds: int = 60
    search_retries: RetryPolicy = _BRIEFLY
    work_retries: RetryPolicy = _PATIENTLY

    def __post_init__(self) -> None:
        if self.write_consistency_factor > self.replication_factor:
            raise ValueError("a write cannot wait for more replicas than there are")
