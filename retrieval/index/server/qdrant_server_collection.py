"""Create a collection on a Qdrant server or check that an existing one fits, and manage its metadata."""

from collections.abc import Mapping
from functools import partial

import structlog
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from retrieval.errors import IndexMismatchError, IndexRefusedError, IndexUnavailableError
from retrieval.index.generations import IndexPresence
from retrieval.index.points import BATCH_POINTS, DENSE, KEYWORDS, PAGE_POINTS, SPARSE, TENANT
from retrieval.index.server.qdrant_server_connection import QdrantConnection
from retrieval.index.server.settings import QdrantServerSettings

# Oldest supported release of the server. Older servers ignore or reject `idf`, so one tenant's words would affect the
# scores of another tenant.
_MIN_SERVER_VERSION = (1, 19, 0)
# Maximum number of conditions per filter, and of values per condition. The server is configured with these limits.
MAX_CONDITIONS, MAX_CONDITION_VALUES = 16, 10_000
# Keys of a collection's metadata.
_INSTALLATION_KEY = "leadline_installation"
_COMPLETE_KEY = "leadline_complete"
# Statuses that mean that a new collection does not exist yet on all nodes of a cluster.
_NOT_YET_CREATED_STATUSES = frozenset({404})

log = structlog.get_logger(__name__)


def prepare_collection(connection: QdrantConnection, dimension: int, settings: QdrantServerSettings) -> None:
    """Create the collection, or check that an existing one fits. Idempotent and safe to call concurrently.

    If a process dies halfway, some field indexes are missing, which the next call adds. A collection with different
    settings is used unchanged, and a warning is logged. Raises `IndexMismatchError` if the collection's vectors have a
    different size or distance metric, and `IndexUnavailableError` if the server is too old or has fewer nodes than the
    required number of replicas.
    """
    _require_supported_version(connection, settings)
    info = connection.call(lambda client: find_collection(client, settings.collection), settings.work_retries)
    if info is None:
        if settings.replication_factor > 1:
            # guard: copies-within-nodes
            _require_enough_nodes(connection, settings)
        connection.call(lambda client: _create_collection(client, dimension, settings), settings.work_retries)
        info = connection.call(
            lambda client: client.get_collection(settings.collection),
            settings.work_retries,
            retried_statuses=_NOT_YET_CREATED_STATUSES,
        )
    _require_matching_vectors(info, dimension, settings.collection)
    if others := _list_differences(info, settings):
        log.warning(
            "collection differs from the settings; `leadline index spread` applies them",
            collection=settings.collection,
            differences=others,
        )
    for field in KEYWORDS:
        if not _is_field_indexed(info, field):
            connection.call(partial(_create_field_index, field=field, settings=settings), settings.work_retries)
    _update_strict_mode(connection, info, settings)


def find_point_count(connection: QdrantConnection, settings: QdrantServerSettings) -> int | None:
    """Return the approximate number of points in the collection, or None if it does not exist."""
    info = connection.call(lambda client: find_collection(client, settings.collection), settings.work_retries)
    return None if info is None else info.points_count or 0


def describe_server(connection: QdrantConnection, settings: QdrantServerSettings) -> str:
    """Return a user-facing description of the server, without creating anything.

    Raises `IndexUnavailableError` if the server cannot be used.
    """
    version = _require_supported_version(connection, settings)
    nodes = _require_enough_nodes(connection, settings)
    return f"Qdrant {version} with {nodes} {'node' if nodes == 1 else 'nodes'} at {connection.url}"


def list_differences(connection: QdrantConnection, settings: QdrantServerSettings) -> list[str]:
    """Describe each difference between an existing collection and the settings."""
    info = connection.call(lambda client: find_collection(client, settings.collection), settings.work_retries)
    return [] if info is None else _list_differences(info, settings)


def find_installation_id(connection: QdrantConnection, settings: QdrantServerSettings) -> str | None:
    """Return the id of the installation that owns the collection, or None if it is missing or has no id."""
    info = connection.call(lambda client: find_collection(client, settings.collection), settings.work_retries)
    found = (info.config.metadata or {}).get(_INSTALLATION_KEY) if info is not None else None
    return None if found is None else str(found)


def store_installation_id(connection: QdrantConnection, settings: QdrantServerSettings) -> None:
    """Store the installation's id in an existing collection."""
    _add_metadata(connection, settings, _build_metadata(settings))


def check_presence(connection: QdrantConnection, settings: QdrantServerSettings) -> IndexPresence:
    """Return whether the collection exists and is marked as a complete index."""
    info = connection.call(lambda client: find_collection(client, settings.collection), settings.work_retries)
    if info is None:
        return IndexPresence.ABSENT
    return IndexPresence.MARKED if (info.config.metadata or {}).get(_COMPLETE_KEY) else IndexPresence.UNMARKED


def mark_complete(connection: QdrantConnection, settings: QdrantServerSettings) -> None:
    """Mark an existing collection as a complete index."""
    _add_metadata(connection, settings, {_COMPLETE_KEY: True})


def _add_metadata(
    connection: QdrantConnection, settings: QdrantServerSettings, metadata: Mapping[str, object] | None
) -> None:
    """Add keys to a collection's metadata, and leave its other keys unchanged."""
    connection.call(
        lambda client: client.update_collection(
            settings.collection,
            metadata=None if metadata is None else dict(metadata),
            timeout=settings.write_timeout_seconds,
        ),
        settings.work_retries,
    )


def delete_collection(connection: QdrantConnection, settings: QdrantServerSettings) -> None:
    """Delete the collection if it exists."""
    connection.call(
        lambda client: client.delete_collection(settings.collection, timeout=settings.write_timeout_seconds),
        settings.work_retries,
    )


def _require_supported_version(connection: QdrantConnection, settings: QdrantServerSettings) -> str:
    try:
        about = connection.call(lambda client: client.info(), settings.work_retries)
    except IndexRefusedError as error:
        raise _build_not_qdrant_error(connection, error.detail) from error
    if "qdrant" not in about.title.lower():
        raise _build_not_qdrant_error(connection, f"its title is {about.title!r}")
    version = about.version
    try:
        known = tuple(int(part) for part in version.split("-")[0].split("."))
    except ValueError:
        known = ()
    if known < _MIN_SERVER_VERSION:
        oldest = ".".join(str(part) for part in _MIN_SERVER_VERSION)
        raise IndexUnavailableError(
            f"The vector server at {connection.url} is Qdrant {version}. Leadline requires {oldest} or newer.",
            hint="Upgrade the server, one minor release at a time, as Qdrant recommends.",
        )
    return version


def _build_not_qdrant_error(connection: QdrantConnection, reason: str) -> IndexUnavailableError:
    return IndexUnavailableError(
        f"The server at {connection.url} is not a Qdrant server: {reason}",
        hint="Check that LEADLINE_QDRANT_URL contains the address of Qdrant's REST port (6333).",
    )


def _require_enough_nodes(connection: QdrantConnection, settings: QdrantServerSettings) -> int:
    """Return the number of nodes. Raises `IndexUnavailableError` if the settings require more replicas than nodes.

    Otherwise, the server might silently create fewer replicas.
    """
    status = connection.call(lambda client: client.cluster_status(), settings.work_retries)
    nodes = len(status.peers) if isinstance(status, models.ClusterStatusOneOf1) else 1
    if settings.replication_factor > nodes:
        raise IndexUnavailableError(
            f"LEADLINE_QDRANT_REPLICAS is {settings.replication_factor}, which requires as many nodes, but the vector "
            f"server at {connection.url} has only {nodes}.",
            hint=f"Set LEADLINE_QDRANT_REPLICAS to {nodes} or less, or add nodes first. Nothing was created.",
        )
    return nodes


def _list_differences(info: models.CollectionInfo, settings: QdrantServerSettings) -> list[str]:
    params, kept = info.config.params, info.config.quantization_config
    vectors = params.vectors.get(DENSE) if isinstance(params.vectors, dict) else None
    words = (params.sparse_vectors or {}).get(SPARSE)
    found = {
        "SHARDS": (params.shard_number or 1, settings.shard_number),
        "REPLICAS": (params.replication_factor or 1, settings.replication_factor),
        "WRITE_CONSISTENCY": (params.write_consistency_factor or 1, settings.write_consistency_factor),
        "QUANTIZATION": (_format_quantization(kept), settings.quantization),
        "EF_CONSTRUCT": (info.config.hnsw_config.ef_construct, settings.ef_construct),
        "INDEXING_THRESHOLD_KB": (info.config.optimizer_config.indexing_threshold, settings.indexing_threshold_kb),
        "VECTORS": ("disk" if vectors and vectors.on_disk else "memory", settings.vectors),
        "WORDS": ("disk" if words and words.index and words.index.on_disk else "memory", settings.words),
    }
    return [
        f"LEADLINE_QDRANT_{name} is {asked}, but the collection {settings.collection} has {has}"
        for name, (has, asked) in found.items()
        if has != asked
    ]


def _format_quantization(quantization: models.QuantizationConfig | None) -> str:
    if quantization is None:
        return "none"
    is_int8 = isinstance(quantization, models.ScalarQuantization)
    return "int8" if is_int8 else type(quantization).__name__


def find_collection(client: QdrantClient, collection: str) -> models.CollectionInfo | None:
    """Return the server's description of a collection, or None if the collection does not exist."""
    try:
        return client.get_collection(collection)
    except UnexpectedResponse as error:
        if error.status_code != 404:
            raise
        return None


def _create_collection(client: QdrantClient, dimension: int, settings: QdrantServerSettings) -> None:
    """Create the collection, unless another process or an earlier attempt has already created it.

    An earlier attempt may have succeeded although its response was lost.
    """
    try:
        client.create_collection(
            settings.collection,
            vectors_config={
                DENSE: models.VectorParams(
                    size=dimension, distance=models.Distance.COSINE, on_disk=settings.vectors == "disk"
                ),
            },
            sparse_vectors_config={
                SPARSE: models.SparseVectorParams(
                    modifier=models.Modifier.IDF,
                    index=models.SparseIndexParams(on_disk=True) if settings.words == "disk" else None,
                )
            },
            on_disk_payload=True,
            shard_number=settings.shard_number,
            replication_factor=settings.replication_factor,
            write_consistency_factor=settings.write_consistency_factor,
            hnsw_config=_build_graph_config(settings),
            quantization_config=_build_quantization_config(settings),
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=settings.indexing_threshold_kb),
            strict_mode_config=_build_strict_mode_config(settings),
            metadata=_build_metadata(settings),
            timeout=settings.write_timeout_seconds,
        )
    except UnexpectedResponse as error:
        if error.status_code != 409:
            raise


def _build_metadata(settings: QdrantServerSettings) -> dict[str, str] | None:
    return None if settings.installation is None else {_INSTALLATION_KEY: settings.installation}


def _build_graph_config(settings: QdrantServerSettings) -> models.HnswConfigDiff:
    """Return settings for one graph per tenant and no global graph (m = 0), because every query has a tenant.

    Neighbours within a tenant are linked even if the tenant owns few of the points. A tenant that is too small for a
    graph is searched exactly. 16 links per point is the engine's default.
    """
    return models.HnswConfigDiff(m=0, payload_m=16, ef_construct=settings.ef_construct)


def _build_quantization_config(settings: QdrantServerSettings) -> models.ScalarQuantization | None:
    if settings.quantization == "none":
        return None
    # Qdrant recommends this quantile, which clips the outermost hundredth of the values.
    int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
    return models.ScalarQuantization(scalar=int8)


def _build_strict_mode_config(settings: QdrantServerSettings) -> models.StrictModeConfig:
    """Return limits far above our requests, which reject excessive requests from bugs or other clients.

    Exact searches stay allowed, because strict mode would also reject exact counts.
    """
    return models.StrictModeConfig(
        enabled=True,
        max_query_limit=max(10 * PAGE_POINTS, settings.facet_values),
        max_timeout=max(settings.read_timeout_seconds, settings.write_timeout_seconds),
        unindexed_filtering_retrieve=False,
        unindexed_filtering_update=False,
        upsert_max_batchsize=4 * BATCH_POINTS,
        search_max_batchsize=8,
        search_max_oversampling=4.0,
        filter_max_conditions=MAX_CONDITIONS,
        condition_max_size=MAX_CONDITION_VALUES,
        max_payload_index_count=16,
    )


def _create_field_index(client: QdrantClient, field: str, settings: QdrantServerSettings) -> None:
    client.create_payload_index(
        settings.collection,
        field,
        # Build a graph per tenant only. Graphs for the values of other fields would take memory for groups of points
        # that span tenants, and no query uses such groups.
        models.KeywordIndexParams(
            type=models.KeywordIndexType.KEYWORD, is_tenant=field == TENANT, enable_hnsw=field == TENANT
        ),
        wait=True,
        timeout=settings.write_timeout_seconds,
    )


def _is_field_indexed(info: models.CollectionInfo, field: str) -> bool:
    index = info.payload_schema.get(field)
    if index is None or not isinstance(index.params, models.KeywordIndexParams):
        return False
    return bool(index.params.is_tenant) == (field == TENANT)


def _require_matching_vectors(info: models.CollectionInfo, dimension: int, collection: str) -> None:
    vectors, sparse = info.config.params.vectors, info.config.params.sparse_vectors or {}
    dense = vectors.get(DENSE) if isinstance(vectors, dict) else None
    if dense is None or SPARSE not in sparse:
        raise IndexMismatchError(
            f"The collection {collection} does not have the vectors {DENSE} and {SPARSE}.",
            hint="This collection belongs to another program. Choose another collection.",
        )
    if (dense.size, dense.distance) != (dimension, models.Distance.COSINE):
        raise IndexMismatchError(
            f"The collection {collection} has vectors of {dense.size} dimensions compared by {dense.distance.value}, "
            f"but the encoder's vectors have {dimension}, compared by {models.Distance.COSINE.value}."
        )
    if sparse[SPARSE].modifier is not models.Modifier.IDF:
        raise IndexMismatchError(
            f"The collection {collection} does not apply idf to {SPARSE}, so BM25 scores would be wrong."
        )


def _update_strict_mode(
    connection: QdrantConnection, info: models.CollectionInfo, settings: QdrantServerSettings
) -> None:
    """Apply this release's limits to a collection from an earlier release."""
    wanted = _build_strict_mode_config(settings)
    have = info.config.strict_mode_config
    if have is None or any(
        getattr(have, name) != value for name, value in wanted.model_dump(exclude_none=True).items()
    ):
        connection.call(
            lambda client: client.update_collection(
                settings.collection, strict_mode_config=wanted, timeout=settings.write_timeout_seconds
            ),
            settings.work_retries,
        )
