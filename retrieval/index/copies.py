"""Find and create missing replicas of an index's shards on the nodes of a vector server."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from retrieval.errors import IndexRefusedError, IndexUnavailableError

# If a repair makes no progress for this long, it fails, because the server starts to fill a new replica within seconds.
# A transfer that is in progress may take any amount of time.
_STALL_TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Node:
    """A node of the vector server. A node without an address was removed, although shards still refer to it."""

    id: int
    address: str
    answers: bool = True

    def __str__(self) -> str:
        return f"{self.address or 'A removed node'} (id {self.id})"


@dataclass(frozen=True)
class ShardReplicas:
    """The replicas of one shard, as node ids.

    `active` replicas are complete; `inactive` replicas are being created or are dead.
    """

    shard: int
    active: frozenset[int]
    inactive: frozenset[int] = frozenset()


@dataclass(frozen=True)
class NewReplica:
    """A replica to create on node `target`, which has none, from the complete replica on node `source`."""

    shard: int
    source: int
    target: int


@dataclass(frozen=True)
class Replicas:
    """The replicas of an index's shards. Each shard should have `wanted` replicas on different nodes.

    `is_sending` is true while the server transfers a shard between nodes.
    """

    wanted: int
    shards: Sequence[ShardReplicas]
    nodes: Mapping[int, Node] = field(default_factory=dict)
    is_sending: bool = False

    @property
    def unreachable_nodes(self) -> list[Node]:
        """The nodes that do not answer, including nodes to which only shards refer."""
        return [node for node in self.nodes.values() if not node.answers]

    @property
    def underreplicated_shards(self) -> list[ShardReplicas]:
        """The shards with fewer than `wanted` complete replicas on reachable nodes."""
        # guard: copy-unreachable
        return [shard for shard in self.shards if len(self._select_reachable_nodes(shard.active)) < self.wanted]

    def list_missing_replicas(self) -> list[NewReplica]:
        """List the replicas to create, each on the free node with the fewest replicas.

        Replicas on an unreachable node come back when the node does, and the server finishes incomplete replicas on its
        own, so neither kind is created again. Shards without a complete replica, and replicas for which no node is
        free, are omitted.
        """
        load = Counter(node for shard in self.shards for node in shard.active | shard.inactive)
        found: list[NewReplica] = []
        for shard in self.shards:
            # guard: copy-away
            known = {node for node in shard.active | shard.inactive if self._is_member_node(node)}
            sources = sorted(self._select_reachable_nodes(shard.active))
            free = [node for node in self._select_reachable_nodes(self.nodes) if node not in known]
            free.sort(key=lambda node: (load[node], node))
            for target in free[: max(0, self.wanted - len(known))] if sources else ():
                found.append(NewReplica(shard.shard, sources[0], target))
                load[target] += 1
        return found

    def describe(self) -> str:
        """Describe in one or two sentences how many shards lack replicas, and why."""
        copies = f"{self.wanted} active {'replica' if self.wanted == 1 else 'replicas'}"
        if not self.underreplicated_shards and not self.unreachable_nodes:
            return f"All {len(self.shards)} shards have {copies}."
        without = sum(not self._select_reachable_nodes(shard.active) for shard in self.underreplicated_shards)
        none = f", and {without} of these have none" if without else ""
        said = [f"{len(self.underreplicated_shards)} of {len(self.shards)} shards have fewer than {copies}{none}."]
        if self.unreachable_nodes:
            verb = "does" if len(self.unreachable_nodes) == 1 else "do"
            said.append(f"{_format_nodes(self.unreachable_nodes)} {verb} not respond.")
        elif any(len(shard.active | shard.inactive) < self.wanted for shard in self.underreplicated_shards):
            said.append("The missing replicas are on no node, because a node was removed or replaced.")
        else:
            incomplete = {node for shard in self.underreplicated_shards for node in shard.inactive}
            said.append(
                f"Replicas on {_format_nodes([self.nodes[node] for node in sorted(incomplete)])} are still incomplete."
            )
        return " ".join(said)

    def _is_member_node(self, node: int) -> bool:
        return node in self.nodes and bool(self.nodes[node].address)

    def _select_reachable_nodes(self, nodes: Sequence[int] | frozenset[int] | Mapping[int, Node]) -> list[int]:
        return [node for node in nodes if node in self.nodes and self.nodes[node].answers]


class ReplicaStore(Protocol):
    """The operations of an index store on the replicas of shards."""

    def find_replicas(self, generation_id: int) -> Replicas | None:
        """Return the replicas of a generation's shards.

        Returns None if the generation's index does not exist, or if its engine does not support replicas.
        """

    def start_replication(self, generation_id: int, new_replica: NewReplica) -> None:
        """Start to create a replica; the server completes it in the background.

        Raises `IndexRefusedError` if the shard is already being copied.
        """


class ReplicaRepair:
    """Creates the missing replicas of a generation's shards, one at a time to leave disk bandwidth for searches.

    A repair stores no state: a new repair continues an interrupted one by checking which replicas are still missing.
    """

    def __init__(
        self,
        store: ReplicaStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._sleep = sleep

    def create_missing_replicas(
        self, generation_id: int, report_progress: Callable[[int, int], None]
    ) -> Replicas | None:
        """Create the missing replicas, wait for replicas in progress, and return the resulting replicas.

        `report_progress` is called with the number of complete replicas, and the number that reachable nodes can have.
        Raises `IndexUnavailableError` if the server makes no progress for two minutes.
        """
        before, changed_at, refusal = None, self._clock(), ""
        while (copies := self._store.find_replicas(generation_id)) is not None:
            awaited = _list_awaited_replicas(copies)
            missing = copies.list_missing_replicas()
            complete = sum(len(shard.active) for shard in copies.shards)
            report_progress(complete, complete + len(awaited) + len(missing))
            if not awaited and not missing:
                return copies
            if copies != before:
                before, changed_at = copies, self._clock()
            elif not copies.is_sending and self._clock() - changed_at > _STALL_TIMEOUT_SECONDS:
                reason = refusal or copies.describe()
                raise IndexUnavailableError(
                    f"The vector server has made no progress for {_STALL_TIMEOUT_SECONDS / 60:.0f} minutes. {reason}",
                    hint="Check the logs of the vector server's nodes, then run `leadline index repair` again.",
                )
            if not awaited:
                refusal = self._start_replication(generation_id, missing[0])
            self._sleep(_POLL_SECONDS)
        return None

    def _start_replication(self, generation_id: int, new_replica: NewReplica) -> str:
        """Start to create a replica, and return the server's reason if it rejects the request, or an empty string.

        The server rejects the request if, for example, another repair has just started to create the same replica.
        """
        try:
            self._store.start_replication(generation_id, new_replica)
        except IndexRefusedError as error:
            log.warning("shard copy refused", shard=new_replica.shard, node=new_replica.target, reason=error.detail)
            return error.detail
        return ""


def _list_awaited_replicas(replicas: Replicas) -> list[tuple[int, int]]:
    """List the incomplete replicas that the server will complete: those that a shard needs, on reachable nodes."""
    return [
        (shard.shard, node)
        for shard in replicas.underreplicated_shards
        for node in sorted(shard.inactive)
        if node in replicas.nodes and replicas.nodes[node].answers
    ]


def _format_nodes(nodes: Sequence[Node]) -> str:
    return " and ".join(str(node) for node in nodes)
