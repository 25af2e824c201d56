"""The engine's shard as this project sets it up: made, opened and compacted here, and used by `qdrant_edge_index`.

A shard is a few sealed segments, which lie in files, and one that takes writes, whose indexes lie in memory. Compacting
seals what was written: measured on 500,000 chunks, an opened shard holds 16 MB of memory of its own when all is sealed,
and 1.2 to 2.3 KB more for every chunk that is not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    HnswIndexConfig,
    KeywordIndexParams,
    Memory,
    Modifier,
    QuantizationSearchParams,
    SearchParams,
    TurboQuantBitSize,
    TurboQuantQuantizationConfig,
    UpdateOperation,
)

from retrieval.errors import IndexRefusedError, IndexUnavailableError
from retrieval.points import DENSE, KEYWORDS, SPARSE, TENANT

# At most this many segments before small ones are merged; a query visits each.
_SEGMENTS = 6
# 200,000 chunks of 384 dimensions. It bounds what one compaction rewrites, so its time and memory do not grow with the
# corpus.
_SEGMENT_KB = 300_000
# No graph (m = 0): sealed vectors are compared one by one by codes of 4 bits a dimension. At a million chunks that
# takes less processor time than a graph that finds 0.97 of the ten best (28 ms a hybrid query against 36). It finds
# them all, under any filter; the graph found 0.82 of a tenant's. And compactions have no graph to build.
_NO_GRAPH = HnswIndexConfig(m=0, ef_construct=16, full_scan_threshold=10, memory=Memory.Cold)
_CODES = TurboQuantQuantizationConfig(bits=TurboQuantBitSize.Bits4, memory=Memory.Cold)
# The best by their codes, twice as many as asked for, are compared again by their whole vectors; so scores are exact.
DENSE_SEARCH = SearchParams(quantization=QuantizationSearchParams(rescore=True, oversampling=2.0))


def create_shard(folder: Path, dimension: int) -> EdgeShard:
    """A new shard in a folder that is not there yet. Raises `IndexUnavailableError`."""
    folder.mkdir(parents=True)
    with engine_errors():
        shard = EdgeShard.create(str(folder), _config(dimension))
        for field in KEYWORDS:
            shard.update(_field_index(field))
        return shard


def open_shard(folder: Path, dimension: int) -> EdgeShard:
    """Raises `IndexUnavailableError`, as for a shard that is open already or of another dimension."""
    with engine_errors():
        shard = EdgeShard.load(str(folder), _config(dimension))
        schema = shard.info().payload_schema
        for field in KEYWORDS:
            if field not in schema:  # of an earlier release
                shard.update(_field_index(field))
        return shard


def compact_shard(folder: Path, dimension: int) -> None:
    """Seal everything written and merge small segments; the shard must not be open elsewhere.

    For a process of its own: the engine holds the GIL until it is done (2 s for 56,000 chunks).
    """
    shard = open_shard(folder, dimension)
    with engine_errors():
        schema = shard.info().payload_schema
        for field in KEYWORDS:
            params = schema[field].params if field in schema else None
            # Shards made by earlier releases keep these indexes in memory.
            if not isinstance(params, KeywordIndexParams) or params.memory != Memory.Cold:
                shard.update(UpdateOperation.delete_field_index(field))
                shard.update(_field_index(field))
        shard.optimize()
        shard.flush()
        shard.close()


def unsealed_points(shard: EdgeShard) -> int:
    """About how many points a compaction would seal; too many where sealed points have no dense vector yet."""
    with engine_errors():
        facts = shard.info()
    return max(0, 2 * facts.points_count - facts.indexed_vectors_count)


@contextmanager
def engine_errors() -> Iterator[None]:
    """The engine raises bare `Exception`; what leaves its adapters is ours."""
    try:
        yield
    except Exception as error:
        raise engine_error(error) from error


def engine_error(error: Exception) -> IndexUnavailableError:
    """What an exception of the engine is to whoever uses its adapters."""
    detail = f"The vector index refused: {error}"
    if "WouldBlock" in str(error):
        hint = "Another process has this index open: stop it, or choose another folder with LEADLINE_HOME."
        return IndexUnavailableError(detail, hint=hint)
    return IndexRefusedError(detail)


def _config(dimension: int) -> EdgeConfig:
    # Cold: mapped, and read when needed. The engine would otherwise read every file through on opening.
    return EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size=dimension, distance=Distance.Cosine, memory=Memory.Cold)},
        sparse_vectors={SPARSE: EdgeSparseVectorParams(modifier=Modifier.Idf, memory=Memory.Cold)},
        payload_memory=Memory.Cold,
        id_tracker_memory=Memory.Cold,
        hnsw_config=_NO_GRAPH,
        quantization_config=_CODES,
        optimizers=EdgeOptimizersConfig(
            indexing_threshold=1, default_segment_number=_SEGMENTS, max_segment_size=_SEGMENT_KB
        ),
    )


def _field_index(field: str) -> UpdateOperation:
    params = KeywordIndexParams(is_tenant=field == TENANT, enable_hnsw=False, memory=Memory.Cold)
    return UpdateOperation.create_field_index(field, params)
