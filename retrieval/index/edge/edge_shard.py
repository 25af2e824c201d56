"""Create, open and compact the engine's shard with this project's configuration.

A shard has a few sealed segments, stored in files, and one writable segment, whose indexes are in memory. Compaction
seals the writable segment. Measured on 500,000 chunks, an open shard takes 16 MB of private memory if all chunks are
sealed, plus 1.2 to 2.3 KB for each unsealed chunk.
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

# Maximum number of segments in a shard. If a shard has more, small segments are merged, because a query visits every
# segment.
_MAX_SEGMENTS = 6
# Maximum size of a segment, which is the size of 200,000 chunks of 384 dimensions. The maximum limits how much a
# compaction rewrites, so that its time and memory do not grow with the corpus.
_MAX_SEGMENT_KB = 300_000
# Configuration without a graph (m = 0): sealed vectors are compared one by one, by codes of 4 bits per dimension. For a
# million chunks, this search takes less CPU time than a graph with a recall@10 of 0.97 (28 ms instead of 36 ms per
# hybrid query). It finds all ten hits under any filter, while the graph's recall for one tenant was 0.82. Compaction is
# also cheaper without a graph.
_NO_GRAPH = HnswIndexConfig(m=0, ef_construct=16, full_scan_threshold=10, memory=Memory.Cold)
_QUANTIZATION = TurboQuantQuantizationConfig(bits=TurboQuantBitSize.Bits4, memory=Memory.Cold)
# Matches an operating system's error in the engine's message. The errors in `_HARMLESS_ERRNOS` do not indicate damaged
# files.
_SYSTEM_ERROR = re.compile(r"os error (\d+)")
_HARMLESS_ERRNOS = frozenset(
    {errno.EACCES, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EPERM, errno.EROFS}
)
# With these parameters, the engine selects twice as many vectors as requested by their codes, and then compares the
# selected vectors at full precision, so that scores are exact.
DENSE_SEARCH = SearchParams(quantization=QuantizationSearchParams(rescore=True, oversampling=2.0))

log = structlog.get_logger(__name__)


def create_shard(folder: Path, dimension: int) -> EdgeShard:
    """Create a shard in a folder that does not exist yet. Raises `IndexUnavailableError` if that fails."""
    folder.mkdir(parents=True)
    with translate_engine_errors():
        shard = EdgeShard.create(str(folder), _build_shard_config(dimension))
        for field in KEYWORDS:
            shard.update(_build_field_index_operation(field))
        return shard


def open_shard(folder: Path, dimension: int) -> EdgeShard:
    """Open a shard. Raises `IndexLostError` if it is damaged, and `IndexUnavailableError` if it is already open."""
    try:
        shard = EdgeShard.load(str(folder), _build_shard_config(dimension))
    except Exception as error:
        # guard: damaged-index
        raise _convert_opening_error(error) from error
    with translate_engine_errors():
        schema = shard.info().payload_schema
        for field in KEYWORDS:
            if field not in schema:  # The shard was created by an earlier release.
                shard.update(_build_field_index_operation(field))
        return shard


def compact_shard(folder: Path, dimension: int) -> None:
    """Seal all writes and merge small segments. No other process may have the shard open.

    Call this in a separate process, because the engine holds the GIL until it is done (2 s for 56,000 chunks).
    """
    shard = open_shard(folder, dimension)
    with translate_engine_errors():
        schema = shard.info().payload_schema
        for field in KEYWORDS:
            params = schema[field].params if field in schema else None
            # Shards created by earlier releases keep these indexes in memory.
            if not isinstance(params, KeywordIndexParams) or params.memory != Memory.Cold:
                shard.update(UpdateOperation.delete_field_index(field))
                shard.update(_build_field_index_operation(field))
        shard.optimize()
        shard.flush()
        shard.close()


def count_unsealed_points(shard: EdgeShard) -> int:
    """Estimate the number of points that a compaction would seal.

    The estimate is too high if sealed points lack a dense vector.
    """
    with translate_engine_errors():
        facts = shard.info()
    return max(0, 2 * facts.points_count - facts.indexed_vectors_count)


@contextmanager
def translate_engine_errors() -> Iterator[None]:
    """Convert the bare `Exception`s that the engine raises to this package's errors."""
    try:
        yield
    except Exception as error:
        raise convert_engine_error(error) from error


def convert_engine_error(error: Exception) -> IndexUnavailableError:
    """Convert an exception raised by the engine to an error of this package."""
    detail = f"The vector index failed: {error}"
    if "WouldBlock" in str(error):
        hint = "Another process has this index open. Stop it, or set LEADLINE_HOME to another folder."
        return IndexUnavailableError(detail, hint=hint)
    return IndexRefusedError(detail)


def _convert_opening_error(error: Exception) -> IndexUnavailableError:
    """Convert an exception raised while opening a shard, which may be in use or damaged, or lack system resources."""
    found = convert_engine_error(error)
    system = _SYSTEM_ERROR.search(str(error))
    if not isinstance(found, IndexRefusedError) or (system and int(system[1]) in _HARMLESS_ERRNOS):
        return found
    log.error("vector index damaged", error=str(error))
    return IndexLostError("The vector index cannot be opened, because its files are damaged.")


def _build_shard_config(dimension: int) -> EdgeConfig:
    # "Cold" files are mapped and read on demand. With other files, the engine would read every file completely when it
    # opens the shard.
    return EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size=dimension, distance=Distance.Cosine, memory=Memory.Cold)},
        sparse_vectors={SPARSE: EdgeSparseVectorParams(modifier=Modifier.Idf, memory=Memory.Cold)},
        payload_memory=Memory.Cold,
        id_tracker_memory=Memory.Cold,
        hnsw_config=_NO_GRAPH,
        quantization_config=_QUANTIZATION,
        optimizers=EdgeOptimizersConfig(
            indexing_threshold=1, default_segment_number=_MAX_SEGMENTS, max_segment_size=_MAX_SEGMENT_KB
        ),
    )


def _build_field_index_operation(field: str) -> UpdateOperation:
    params = KeywordIndexParams(is_tenant=field == TENANT, enable_hnsw=False, memory=Memory.Cold)
    return UpdateOperation.create_field_index(field, params)
