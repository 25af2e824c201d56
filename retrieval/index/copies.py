"""The copies of an index's shards on the nodes of a vector server: which are missing, and how they are made again."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from retrieval.errors import IndexRefusedError, IndexUnavailableError

# The server begins to complete a copy within seconds, so a repair fails if nothing has happened for this long. A copy
# that is being sent is waited for however long it takes.
_STALL_TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Node:
    """A node of the vector server; without an address, it is one that was removed and that shards still name."""

    id: int
    address: str
    answers: bool = True

    def __str__(self) -> str:
        return f"{self.address or 'A node that was removed'} (id {self.id})"


@dataclass(frozen=True)
class ShardCopies:
    """The copies of one shard: ids of nodes with a complete copy, and of those where one is being made or is dead."""

    shard: int
    active: frozenset[int]
    inactive: frozenset[int] = frozenset()


@dataclass(frozen=True)
class NewCopy:
    """A copy of a shard to be made on a node that has none, from a node that has a complete one."""

    shard: int
    source: int
    target: int


@dataclass(frozen=True)
class Copies:
    """The copies of all shards of an index, of which `wanted` of each should exist on different nodes.

    `is_sending` says that the server is copying a shard from one node to another.
    """

    wanted: int
    shards: Sequence[ShardCopies]
    nodes: Mapping[int, Node] = field(default_factory=dict)
    is_sending: bool = False

    @property
    def unreachable_nodes(self) -> list[Node]:
        """The nodes that are part of the server, or named by a shard, and do not answer."""
        return [node for node in self.nodes.values() if not node.answers]

    @property
    def underreplicated_shards(self) -> list[ShardCopies]:
        """The shards with fewer complete copies on nodes that answer than there should be."""
        # guard: copy-unreachable
        return [shard for shard in self.shards if len(self._filter_answering(shard.active)) < self.wanted]

    def list_missing(self) -> list[NewCopy]:
        """List the copies that no node has, each with the node that is to get it: the one with the fewest copies.

        A copy on a node that is away comes back with the node, and a copy that is not complete is being made good, so
        neither is made again. Shards without a complete copy, and copies without a free node, are left out.
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
        """Return in one or two sentences how many shards lack copies, and why."""
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
            said.append("No node has the missing copies: a node was removed or replaced.")
        else:
            incomplete = {node for shard in self.underreplicated_shards for node in shard.inactive}
            said.append(
                f"Copies on {_format_nodes([self.nodes[node] for node in sorted(incomplete)])} are not complete yet."
            )
        return " ".join(said)

    def _is_member(self, node: int) -> bool:
        return node in self.nodes and bool(self.nodes[node].address)

    def _filter_answering(self, nodes: Sequence[int] | frozenset[int] | Mapping[int, Node]) -> list[int]:
        return [node for node in nodes if node in self.nodes and self.nodes[node].answers]


class CopyStore(Protocol):
    """The store of the index, as far as copies of its shards are concerned."""

    def find_copies(self, generation_id: int) -> Copies | None:
        """Return the copies of a generation's shards; None if it does not exist, or is kept in one place only."""

    def start_copy(self, generation_id: int, new: NewCopy) -> None:
        """Begin to make a copy; the server goes on by itself. Raises `IndexRefusedError` if one is being made."""


class CopyRepair:
    """Makes the missing copies of a generation's shards, one at a time, so that searches keep their share of disks.

    An interrupted repair is continued by the next, because the copies themselves say what is missing.
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
        """Make the missing copies and wait for those being made; return how the copies are then.

        `advanced` is called with the number of complete copies and of those that can be complete with the nodes that
        answer. Raises `IndexUnavailableError` if the server makes no copy for minutes.
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
                    f"The vector server made no copy for {_STALL_TIMEOUT_SECONDS / 60:.0f} minutes. {reason}",
                    hint="Read the logs of the vector server's nodes, then run `leadline index repair` again.",
                )
            if not awaited:
                refusal = self._start_copy(generation_id, missing[0])
            self._sleep(_POLL_SECONDS)
        return None

    def _start_copy(self, generation_id: int, new: NewCopy) -> str:
        """Begin a copy; return why the server refused it, such as another repair that began it in this moment."""
        try:
            self._store.start_copy(generation_id, new)
        except IndexRefusedError as error:
            log.warning("a copy of a shard was refused", shard=new.shard, node=new.target, reason=error.detail)
            return error.detail
        return ""


def _list_awaited(copies: Copies) -> list[tuple[int, int]]:
    """List the copies of short shards that are not complete on nodes that answer: the server makes them good."""
    return [
        (shard.shard, node)
        for shard in copies.underreplicated_shards
        for node in sorted(shard.inactive)
        if node in copies.nodes and copies.nodes[node].answers
    ]


def _format_nodes(nodes: Sequence[Node]) -> str:
    return " and ".join(str(node) for node in nodes)
