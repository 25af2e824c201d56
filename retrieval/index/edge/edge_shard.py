"""Create, open and compact the engine's shard as this project configures it; `qdrant_edge_index` uses it.

A shard has a few sealed segments, stored in files, and one writable segment, whose indexes are in memory. Compacting
seals what was written. Measured on 500,000 chunks: an open shard holds 16 MB of memory of its own when all is sealed,
and 1.2 to 2.3 KB more for each unsealed chunk.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
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

from retrieval.errors import IndexLostError, IndexRefusedError, IndexUnavailableError
from retrieval.index.points import DENSE, KEYWORDS, SPARSE, TENANT

# The largest number of segments before small ones are merged; a query visits each segment.
_SEGMENTS = 6
# 200,000 chunks of 384 dimensions. The limit bounds what one compaction rewrites, so that its time and memory do not
# grow with the corpus.
_SEGMENT_KB = 300_000
# No graph (m = 0): sealed vectors are compared one by one, by codes of 4 bits a dimension. At a million chunks this
# takes less processor time than a graph that finds 0.97 of the ten best (28 ms a hybrid query against 36), and finds
# all ten under any filter; the graph found 0.82 of a tenant's. Compactions have no graph to build either.
_NO_GRAPH = HnswIndexConfig(m=0, ef_construct=16, full_scan_threshold=10, memory=Memory.Cold)
_CODES = TurboQuantQuantizationConfig(bits=TurboQuantBitSize.Bits4, memory=Memory.Cold)
# Errors of the system that say nothing about the files of a shard, as the engine words them.
_SYSTEM_ERROR = re.compile(r"os error (\d+)")
_NOT_DAMAGE = frozenset(
    {errno.EACCES, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EPERM, errno.EROFS}
)
# Twice as many vectors as requested are chosen by code and compared again in full, so scores are exact.
DENSE_SEARCH = SearchParams(quantization=QuantizationSearchParams(rescore=True, oversampling=2.0))

log = structlog.get_logger(__name__)


def create_shard(folder: Path, dimension: int) -> EdgeShard:
    """Create a shard in a folder that does not exist yet. Raises `IndexUnavailableError`."""
    folder.mkdir(parents=True)
    with translate_engine_errors():
        shard = EdgeShard.create(str(folder), _build_config(dimension))
        for field in KEYWORDS:
            shard.update(_build_field_index(field))
        return shard


def open_shard(folder: Path, dimension: int) -> EdgeShard:
    """Open a shard. Raises `IndexLostError` if it is damaged, and `IndexUnavailableError` if it is open already."""
    try:
        shard = EdgeShard.load(str(folder), _build_config(dimension))
    except Exception as error:
        # guard: damaged-index
        raise _convert_opening_error(error) from error
    with translate_engine_errors():
        schema = shard.info().payload_schema
        for field in KEYWORDS:
            if field not in schema:  # a shard of an earlier release
                shard.update(_build_field_index(field))
        return shard


def compact_shard(folder: Path, dimension: int) -> None:
    """Seal everything written and merge small segments; the shard must not be open elsewhere.

    Run this in a process of its own: the engine holds the GIL until it is done (2 s for 56,000 chunks).
    """
    shard = open_shard(folder, dimension)
    with translate_engine_errors():
        schema = shard.info().payload_schema
        for field in KEYWORDS:
            params = schema[field].params if field in schema else None
            # Shards made by earlier releases keep these indexes in memory.
            if not isinstance(params, KeywordIndexParams) or params.memory != Memory.Cold:
                shard.update(UpdateOperation.delete_field_index(field))
                shard.update(_build_field_index(field))
        shard.optimize()
        shard.flush()
        shard.close()


def count_unsealed_points(shard: EdgeShard) -> int:
    """Return about how many points a compaction would seal; too many if sealed points lack a dense vector."""
    with translate_engine_errors():
        facts = shard.info()
    return max(0, 2 * facts.points_count - facts.indexed_vectors_count)


@contextmanager
def translate_engine_errors() -> Iterator[None]:
    """Turn the bare `Exception` that the engine raises into an error of this package."""
    try:
        yield
    except Exception as error:
        raise convert_engine_error(error) from error


def convert_engine_error(error: Exception) -> IndexUnavailableError:
    """Translate an exception of the engine into an error of this package."""
    detail = f"The vector index refused: {error}"
    if "WouldBlock" in str(error):
        hint = "Another process has this index open: stop it, or choose another folder with LEADLINE_HOME."
        return IndexUnavailableError(detail, hint=hint)
    return IndexRefusedError(detail)


def _convert_opening_error(error: Exception) -> IndexUnavailableError:
    """Translate an exception from opening a shard: it is in use, the system is short of something, or it is damaged."""
    found = convert_engine_error(error)
    system = _SYSTEM_ERROR.search(str(error))
    if not isinstance(found, IndexRefusedError) or (system and int(system[1]) in _NOT_DAMAGE):
        return found
    log.error("the files of the vector index are damaged", error=str(error))
    return IndexLostError("The files of the vector index are damaged, so it cannot be opened.")


def _build_config(dimension: int) -> EdgeConfig:
    # Cold: mapped, and read when needed. The engine would otherwise read every file in full on opening.
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


def _build_field_index(field: str) -> UpdateOperation:
    params = KeywordIndexParams(is_tenant=field == TENANT, enable_hnsw=False, memory=Memory.Cold)
    return UpdateOperation.create_field_index(field, params)
