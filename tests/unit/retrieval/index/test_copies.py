"""Which copies of shards are missing, which nodes get them, and how a repair goes on, waits and gives up."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from retrieval.errors import IndexRefusedError, IndexUnavailableError
from retrieval.index.copies import NewReplica, Node, ReplicaRepair, Replicas, ShardReplicas


def nodes(count: int, *, away: Sequence[int] = ()) -> dict[int, Node]:
    return {n: Node(n, f"http://node-{n}:6335/", n not in away) for n in range(1, count + 1)}


def shard(number: int, *active: int, inactive: Sequence[int] = ()) -> ShardReplicas:
    return ShardReplicas(number, frozenset(active), frozenset(inactive))


def test_shards_with_all_copies_lack_nothing() -> None:
    copies = Replicas(2, [shard(0, 1, 2), shard(1, 2, 3)], nodes(3))
    assert (copies.underreplicated_shards, copies.list_missing_replicas(), copies.unreachable_nodes) == ([], [], [])
    assert copies.describe() == "All 2 shards have 2 active replicas."


def test_copies_that_no_node_has_go_to_the_nodes_with_the_fewest() -> None:
    copies = Replicas(2, [shard(0, 1), shard(1, 2), shard(2, 1, 2)], nodes(3))
    assert copies.list_missing_replicas() == [NewReplica(0, 1, 3), NewReplica(1, 2, 3)]
    assert copies.describe() == (
        "2 of 3 shards have fewer than 2 active replicas. "
        "The missing replicas are on no node, because a node was removed or replaced."
    )


def test_a_copy_on_a_node_that_is_away_counts_as_missing_and_is_not_made_again() -> None:
    copies = Replicas(2, [shard(0, 1, 3), shard(1, 1, 2)], nodes(4, away=[3]))
    assert [each.shard for each in copies.underreplicated_shards] == [0]
    assert copies.list_missing_replicas() == []
    assert copies.describe() == (
        "1 of 2 shards have fewer than 2 active replicas. http://node-3:6335/ (id 3) does not respond."
    )


def test_a_copy_on_a_node_that_was_removed_is_made_again() -> None:
    known = {**nodes(2), 9: Node(9, "", answers=False)}
    copies = Replicas(2, [shard(0, 1, 9)], known)
    assert copies.list_missing_replicas() == [NewReplica(0, 1, 2)]
    assert "A removed node (id 9) does not respond" in copies.describe()


def test_a_copy_that_is_being_made_is_waited_for() -> None:
    copies = Replicas(2, [shard(0, 1, inactive=[2])], nodes(3))
    assert (len(copies.underreplicated_shards), copies.list_missing_replicas()) == (1, [])
    assert copies.describe().endswith("Replicas on http://node-2:6335/ (id 2) are still incomplete.")


def test_shards_that_no_node_answers_for_are_counted() -> None:
    copies = Replicas(2, [shard(0, 2, 3), shard(1, 1, 2)], nodes(3, away=[2, 3]))
    assert copies.describe().startswith("2 of 2 shards have fewer than 2 active replicas, and 1 of these have none.")


def test_a_shard_without_a_complete_copy_and_a_copy_without_a_free_node_are_left_out() -> None:
    assert Replicas(2, [shard(0, inactive=[1])], nodes(2)).list_missing_replicas() == []
    assert Replicas(3, [shard(0, 1, 2)], nodes(2)).list_missing_replicas() == []


class FakeServer:
    """Makes a copy in two looks, unless it `is_stuck`; refuses to begin one as often as `refusals` says."""

    def __init__(self, copies: Replicas) -> None:
        self.copies_now = copies
        self.begun: list[NewReplica] = []
        self.refusals = 0
        self.is_stuck = False
        self._looks = 0

    def find_replicas(self, generation_id: int) -> Replicas | None:
        self._looks += 1
        if self._looks % 2 == 0 and not self.is_stuck:
            done = [replace(each, active=each.active | each.inactive, inactive=frozenset()) for each in self._shards]
            self.copies_now = replace(self.copies_now, shards=done)
        return self.copies_now

    def start_replication(self, generation_id: int, new_replica: NewReplica) -> None:
        if self.refusals:
            self.refusals -= 1
            raise IndexRefusedError("Shard 0 is already involved in transfer.")
        self.begun.append(new_replica)
        shards = [
            replace(each, inactive=each.inactive | {new_replica.target}) if each.shard == new_replica.shard else each
            for each in self._shards
        ]
        self.copies_now = replace(self.copies_now, shards=shards)

    @property
    def _shards(self) -> Sequence[ShardReplicas]:
        return self.copies_now.shards


def repaired(server: FakeServer) -> tuple[Replicas | None, list[tuple[int, int]]]:
    seen: list[tuple[int, int]] = []
    time = [0.0]

    def sleep(seconds: float) -> None:
        time[0] += seconds

    repair = ReplicaRepair(server, clock=lambda: time[0], sleep=sleep)
    return repair.create_missing_replicas(1, lambda done, total: seen.append((done, total))), seen


def test_a_repair_makes_one_copy_after_the_other_and_tells_how_far_it_is() -> None:
    server = FakeServer(Replicas(2, [shard(0, 1), shard(1, 2), shard(2, 1, 2)], nodes(3)))
    copies, seen = repaired(server)
    assert copies is not None
    assert copies.underreplicated_shards == []
    assert server.begun == [NewReplica(0, 1, 3), NewReplica(1, 2, 3)]
    assert (seen[0], seen[-1]) == ((4, 6), (6, 6))
    assert repaired(server)[0] == copies
    assert len(server.begun) == 2  # a second repair finds nothing to do


def test_a_repair_waits_for_copies_that_another_one_began() -> None:
    server = FakeServer(Replicas(2, [shard(0, 1, inactive=[2])], nodes(3)))
    copies, _ = repaired(server)
    assert copies is not None
    assert (copies.underreplicated_shards, server.begun) == ([], [])
    refused = FakeServer(Replicas(2, [shard(0, 1)], nodes(2)))
    refused.refusals = 3
    copies, _ = repaired(refused)
    assert copies is not None
    assert copies.underreplicated_shards == []


def test_a_repair_leaves_what_only_a_node_that_is_away_can_give() -> None:
    server = FakeServer(Replicas(2, [shard(0, 1, 3), shard(1, 1)], nodes(3, away=[3])))
    copies, _ = repaired(server)
    assert copies is not None
    assert [each.shard for each in copies.underreplicated_shards] == [0]
    assert server.begun == [NewReplica(1, 1, 2)]


def test_a_repair_gives_up_when_nothing_has_changed_for_minutes_and_can_be_continued() -> None:
    server = FakeServer(Replicas(2, [shard(0, 1)], nodes(2)))
    server.is_stuck = True
    with pytest.raises(IndexUnavailableError, match=r"made no progress for 2 minutes.*index repair"):
        repaired(server)
    server.is_stuck = False
    copies, _ = repaired(server)
    assert copies is not None
    assert (copies.underreplicated_shards, len(server.begun)) == ([], 1)
