"""List and create the replicas of a collection's shards, using a Qdrant server's cluster API."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from qdrant_client import QdrantClient, models

from retrieval.index.copies import NewReplica, Node, Replicas, ShardReplicas
from retrieval.index.server.qdrant_server_collection import find_collection
from retrieval.index.server.qdrant_server_connection import QdrantConnection
from retrieval.index.server.settings import QdrantServerSettings

# States of a replica that the server considers active. Only an active replica can be the source of another replica.
_ACTIVE_STATES = frozenset({models.ReplicaState.ACTIVE, models.ReplicaState.RESHARDINGSCALEDOWN})
# Maximum age of a node's errors, measured from its last activity. A node stores the error of the last message that it
# sent to another node, even if it has sent no message since, so older errors are ignored.
_RECENT_ACTIVITY = timedelta(seconds=60)


def fetch_replicas(connection: QdrantConnection, settings: QdrantServerSettings) -> Replicas | None:
    """Fetch the replicas of a collection's shards.

    Returns None if the server has a single node or the collection does not exist.
    """
    statuses = [
        status
        for status in connection.call_each_address(QdrantClient.cluster_status, settings.search_retries)
        if isinstance(status, models.ClusterStatusOneOf1)
    ]
    if not statuses:
        return None
    info = connection.call(lambda client: find_collection(client, settings.collection), settings.work_retries)
    if info is None:
        return None
    shards = connection.call(lambda client: client.collection_cluster_info(settings.collection), settings.work_retries)
    wanted = info.config.params.replication_factor or 1
    found = _group_replicas_by_shard(shards)
    named = {node for copies in found.values() for node in copies}
    # If a shard has lost all of its replicas, it is missing from the response, because the server lists replicas.
    # guard: shard-without-copies
    numbers = sorted({*found, *range(info.config.params.shard_number or 1)})
    return Replicas(
        wanted,
        [_build_shard_replicas(number, found.get(number, {})) for number in numbers],
        {node.id: node for node in _list_nodes(statuses, named)},
        is_sending=bool(shards.shard_transfers),
    )


def start_shard_replication(
    connection: QdrantConnection, settings: QdrantServerSettings, new_replica: NewReplica
) -> None:
    """Start to copy a shard to another node. Raises `IndexRefusedError` if the shard is already being copied."""
    operation = models.ReplicateShardOperation(
        replicate_shard=models.ReplicateShard(
            shard_id=new_replica.shard, from_peer_id=new_replica.source, to_peer_id=new_replica.target
        )
    )
    connection.call(
        lambda client: client.cluster_collection_update(
            settings.collection, operation, timeout=settings.write_timeout_seconds
        ),
        settings.work_retries,
    )


def _group_replicas_by_shard(info: models.CollectionClusterInfo) -> dict[int, dict[int, models.ReplicaState]]:
    """Return the state of each shard's replicas, keyed by shard and then by node."""
    found: defaultdict[int, dict[int, models.ReplicaState]] = defaultdict(dict)
    for local in info.local_shards:
        found[local.shard_id][info.peer_id] = local.state
    for remote in info.remote_shards:
        found[remote.shard_id][remote.peer_id] = remote.state
    return found


def _build_shard_replicas(number: int, replica_states: dict[int, models.ReplicaState]) -> ShardReplicas:
    active = frozenset(node for node, state in replica_states.items() if state in _ACTIVE_STATES)
    return ShardReplicas(number, active, frozenset(replica_states) - active)


def _list_nodes(statuses: Sequence[models.ClusterStatusOneOf1], shard_nodes: Iterable[int]) -> list[Node]:
    """Return the nodes known to any node that answers, and the nodes to which only shards refer."""
    answered = {status.peer_id for status in statuses}
    failing = {address for status in statuses for address in _list_failing_addresses(status)}
    addresses = {int(peer): about.uri for status in statuses for peer, about in status.peers.items()}
    known = [
        Node(peer, uri, answers=peer in answered or _normalize_address(uri) not in failing)
        for peer, uri in addresses.items()
    ]
    gone = [Node(peer, "", answers=False) for peer in sorted(set(shard_nodes) - addresses.keys())]
    return sorted(known, key=lambda node: node.id) + gone


def _list_failing_addresses(status: models.ClusterStatusOneOf1) -> list[str]:
    """Return the addresses of nodes to which this node currently cannot send messages."""
    thread = status.consensus_thread_status
    active_at = getattr(thread, "last_update", None)
    return [
        _normalize_address(address)
        for address, error in status.message_send_failures.items()
        if not _is_outdated_error(error.latest_error_timestamp, active_at)
    ]


def _is_outdated_error(error_time: object, activity_time: object) -> bool:
    if not isinstance(error_time, datetime) or not isinstance(activity_time, datetime):
        return False
    return _ensure_timezone(activity_time) - _ensure_timezone(error_time) > _RECENT_ACTIVITY


def _ensure_timezone(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _normalize_address(address: str) -> str:
    return address.rstrip("/")
