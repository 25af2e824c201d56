"""Find and repair missing copies of an index's shards on the nodes of a vector server."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from retrieval.errors import IndexRefusedError, IndexUnavailableError

# The server starts to complete a copy within seconds, so a repair fails if nothing has happened for this long. A
# transfer that is in progress may take any amount of time.
_STALL_TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Node:
    """A node of the vector server. A node without an address was removed, but shards still refer to it."""

    id: int
    address: str
    answers: bool = True

    def __str__(self) -> str:
        return f"{self.address or 'A removed node'} (id {self.id})"


@dataclass(frozen=True)
class ShardCopies:
    """The copies of one shard, by node: `active` copies are complete, `inactive` ones are being created or are dead."""

    shard: int
    active: frozenset[int]
    inactive: frozenset[int] = frozenset()


@dataclass(frozen=True)
class NewCopy:
    """A copy of a shard to create, from node `source`, which has a complete copy, to node `target`, which has none."""

    shard: int
    source: int
    target: int


@dataclass(frozen=True)
class Copies:
    """The copies of an index's shards. Each shard should have `wanted` copies, on different nodes.

    `is_sending` is true while the server transfers a shard from one node to another.
    """

    wanted: int
    shards: Sequence[ShardCopies]
    nodes: Mapping[int, Node] = field(default_factory=dict)
    is_sending: bool = False

    @property
    def unreachable_nodes(self) -> list[Node]:
        """The nodes that do not answer, among the server's nodes and those that shards refer to."""
        return [node for node in self.nodes.values() if not node.answers]

    @property
    def underreplicated_shards(self) -> list[ShardCopies]:
        """The shards with fewer than `wanted` complete copies on nodes that answer."""
        # guard: copy-unreachable
        return [shard for shard in self.shards if len(self._filter_answering(shard.active)) < self.wanted]

    def list_missing(self) -> list[NewCopy]:
        """List the copies to create, each on the free node with the fewest copies.

        Copies on unreachable nodes return when their node does, and the server completes incomplete copies by itself,
        so neither kind is created again. Shards without a complete copy, and copies for which no node is free, are
        omitted.
        """
        load = Counter(node for shard in self.shards for node in shard.active | shard.inactive)
        found: list[NewCopy] = []
        for shard in self.shards:
            # guard: copy-away
            known = {node for node in shard.active | shard.inactive if self._is_member(node)}
            sources = sorted(self._filter_answering(shard.active))
            free = [node for node in self._filter_answering(self.nodes) if node not in known]
            free.sort(key=lambda node: (load[node], node))
            for target in free[: max(0, self.wanted - len(known))] if sources else ():
                found.append(NewCopy(shard.shard, sources[0], target))
                load[target] += 1
        return found

    def describe(self) -> str:
        """Describe how many shards lack copies, and why, in one or two sentences."""
        copies = f"{self.wanted} active {'copy' if self.wanted == 1 else 'copies'}"
        if not self.underreplicated_shards and not self.unreachable_nodes:
            return f"All {len(self.shards)} shards have {copies}."
        without = sum(not self._filter_answering(shard.active) for shard in self.underreplicated_shards)
        none = f", and {without} of these have none" if without else ""
        said = [f"{len(self.underreplicated_shards)} of {len(self.shards)} shards have fewer than {copies}{none}."]
        if self.unreachable_nodes:
            verb = "does" if len(self.unreachable_nodes) == 1 else "do"
            said.append(f"{_format_nodes(self.unreachable_nodes)} {verb} not answer.")
        elif any(len(shard.active | shard.inactive) < self.wanted for shard in self.underreplicated_shards):
            said.append("The missing copies are on no node, because a node was removed or replaced.")
        else:
            incomplete = {node for shard in self.underreplicated_shards for node in shard.inactive}
            said.append(
                f"Copies on {_format_nodes([self.nodes[node] for node in sorted(incomplete)])} are still incomplete."
            )
        return " ".join(said)

    def _is_member(self, node: int) -> bool:
        return node in self.nodes and bool(self.nodes[node].address)

    def _filter_answering(self, nodes: Sequence[int] | frozenset[int] | Mapping[int, Node]) -> list[int]:
        return [node for node in nodes if node in self.nodes and self.nodes[node].answers]


class CopyStore(Protocol):
    """The part of an index store that concerns the copies of shards."""

    def find_copies(self, generation_id: int) -> Copies | None:
        """Return the copies of a generation's shards.

        None if it does not exist, or if its engine does not make copies.
        """

    def start_copy(self, generation_id: int, new: NewCopy) -> None:
        """Start a copy, which the server then completes.

        Raises `IndexRefusedError` if a copy is already in progress.
        """


class CopyRepair:
    """Creates the missing copies of a generation's shards, one at a time, to leave disk bandwidth for searches.

    A repair records no state: the copies themselves show which are missing, so a new repair continues an interrupted
    one.
    """

    def __init__(
        self,
        store: CopyStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._sleep = sleep

    def run(self, generation_id: int, advanced: Callable[[int, int], None]) -> Copies | None:
        """Create the missing copies, wait for those in progress, and return the resulting copies.

        `advanced` is called with the number of complete copies and the number that is possible on the nodes that
        answer. Raises `IndexUnavailableError` if the server makes no progress for two minutes.
        """
        before, changed_at, refusal = None, self._clock(), ""
        while (copies := self._store.find_copies(generation_id)) is not None:
            awaited = _list_awaited(copies)
            missing = copies.list_missing()
            complete = sum(len(shard.active) for shard in copies.shards)
            advanced(complete, complete + len(awaited) + len(missing))
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
                refusal = self._start_copy(generation_id, missing[0])
            self._sleep(_POLL_SECONDS)
        return None

    def _start_copy(self, generation_id: int, new: NewCopy) -> str:
        """Start a copy. Return an empty string, or the server's reason for refusing it.

        The server refuses if, for example, another repair has just started the same copy.
        """
        try:
            self._store.start_copy(generation_id, new)
        except IndexRefusedError as error:
            log.warning("shard copy refused", shard=new.shard, node=new.target, reason=error.detail)
            return error.detail
        return ""


def _list_awaited(copies: Copies) -> list[tuple[int, int]]:
    """List the incomplete copies that the server will complete: those that a shard needs, on nodes that answer."""
    return [
        (shard.shard, node)
        for shard in copies.underreplicated_shards
        for node in sorted(shard.inactive)
        if node in copies.nodes and copies.nodes[node].answers
    ]


def _format_nodes(nodes: Sequence[Node]) -> str:
    return " and ".join(str(node) for node in nodes)
