"""The nodes that the double claims to have, and the copies of shards that it says are on them.

The points are in one engine whatever is said here. What is told is what a server of several nodes tells: a copy is made
in steps, of which each look at the collection is one, and a node that is away leaves the state of its copies as it was.
"""

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter
from qdrant_client import models

from tests.support.qdrant_double.asked import Asked, Body, ok
from tests.support.qdrant_double.refusals import Refusal, query_parameters
from tests.support.qdrant_double.store import Collections

_CLUSTER = TypeAdapter(models.ClusterOperations)
_ACTIVE, _PARTIAL = models.ReplicaState.ACTIVE.value, models.ReplicaState.PARTIAL.value
# A copy is complete after so many looks at its collection.
_LOOKS = 2


class Nodes:
    """Which nodes there are, which are away, and the state of each shard's copies by collection and node."""

    def __init__(self, count: int) -> None:
        self.several = count > 1
        self._lock = threading.Lock()
        self._newest = count
        self._members = {peer: f"http://node-{peer}:6335/" for peer in range(1, count + 1)}
        self._away: set[int] = set()
        self._copies: dict[str, list[dict[int, str]]] = {}
        self._transfers: dict[tuple[str, int, int], list[int]] = {}  # the node that sends, and the looks that are left

    def place(self, collection: str, params: Mapping[str, Any]) -> None:
        """Put the copies of a new collection's shards on the nodes that there are, in turn."""
        with self._lock:
            peers = sorted(self._members)
            copies = min(int(params["replication_factor"]), len(peers))
            self._copies[collection] = [
                {peers[(shard + copy) % len(peers)]: _ACTIVE for copy in range(copies)}
                for shard in range(int(params["shard_number"]))
            ]

    def status(self) -> dict[str, Any]:
        """The server's `ClusterStatus`."""
        if not self.several:
            return {"status": "disabled"}
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        raft = {"term": 1, "commit": 1, "pending_operations": 0, "leader": 1, "role": "Leader", "is_voter": True}
        failed = {"count": 9, "latest_error": "transport error", "latest_error_timestamp": now}
        with self._lock:
            return {
                "status": "enabled",
                "peer_id": 1,
                "peers": {str(peer): {"uri": uri} for peer, uri in self._members.items()},
                "raft_info": raft,
                "consensus_thread_status": {"consensus_thread_status": "working", "last_update": now},
                "message_send_failures": {self._members[peer]: failed for peer in sorted(self._away)},
            }

    def describe(self, collection: str, points: int) -> dict[str, Any]:
        """The server's `CollectionClusterInfo`; each look lets the copies under way get further."""
        with self._lock:
            shards = self._copies[collection]
            local = [
                {"shard_id": number, "points_count": points, "state": copies[1]}
                for number, copies in enumerate(shards)
                if 1 in copies
            ]
            remote = [
                {"shard_id": number, "peer_id": peer, "state": state}
                for number, copies in enumerate(shards)
                for peer, state in copies.items()
                if peer != 1
            ]
            under_way = [
                {"shard_id": shard, "from": source, "to": target, "sync": True, "method": "stream_records"}
                for (name, shard, target), (source, _) in self._transfers.items()
                if name == collection
            ]
            self._advance(collection)
        return {
            "peer_id": 1,
            "shard_count": len(shards),
            "local_shards": local,
            "remote_shards": remote,
            "shard_transfers": under_way,
        }

    def replicate(self, collection: str, wanted: models.ReplicateShard) -> None:
        shard, source, target = wanted.shard_id, wanted.from_peer_id, wanted.to_peer_id
        with self._lock:
            shards = self._copies[collection]
            if shard >= len(shards):
                raise Refusal(400, f"Bad request: Shard {shard} does not exist")
            if target not in self._members or source not in self._members:
                raise Refusal(400, f"Bad request: Peer {target} does not exist")
            if shards[shard].get(source) != _ACTIVE:
                raise Refusal(400, f"Bad request: Shard {shard} is not active on peer {source}")
            if target in shards[shard] or any(each[:2] == (collection, shard) for each in self._transfers):
                raise Refusal(400, f"Bad request: Shard {shard} is already involved in transfer {source} -> {target}")
            shards[shard][target] = _PARTIAL
            self._transfers[collection, shard, target] = [source, _LOOKS]

    def remove(self, peer: int, *, force: bool) -> None:
        with self._lock:
            if peer not in self._members:
                raise Refusal(404, f"Not found: Peer {peer} does not exist")
            if not force and any(peer in copies for shards in self._copies.values() for copies in shards):
                raise Refusal(400, f"Bad request: Cannot remove peer {peer} as there are shards on it")
            del self._members[peer]
            self._away.discard(peer)
            for shards in self._copies.values():
                for copies in shards:
                    copies.pop(peer, None)

    def forget(self, collection: str) -> None:
        with self._lock:
            self._copies.pop(collection, None)
            self._transfers = {key: left for key, left in self._transfers.items() if key[0] != collection}

    def set_away(self, peer: int, *, away: bool) -> None:
        with self._lock:
            (self._away.add if away else self._away.discard)(peer)

    def add(self) -> int:
        """An empty node joins; returns its id."""
        with self._lock:
            self._newest += 1  # the id of a node that was removed is not given again
            self._members[self._newest] = f"http://node-{self._newest}:6335/"
            return self._newest

    def _advance(self, collection: str) -> None:
        for (name, shard, target), transfer in list(self._transfers.items()):
            if name != collection or target in self._away:
                continue
            transfer[1] -= 1
            if transfer[1] <= 0:
                del self._transfers[name, shard, target]
                if target in self._copies[collection][shard]:
                    self._copies[collection][shard][target] = _ACTIVE


def install(app: FastAPI, collections: Collections, nodes: Nodes) -> None:
    for name in collections.names():
        nodes.place(name, collections.get(name).params)

    @app.get("/cluster")
    def cluster(request: Request) -> JSONResponse:
        begun = time.perf_counter()
        query_parameters(request.query_params, ())
        return ok(nodes.status(), begun)

    @app.delete("/cluster/peer/{peer}")
    def remove(peer: int, request: Request) -> JSONResponse:
        begun = time.perf_counter()
        query_parameters(request.query_params, ("force", "timeout"))
        nodes.remove(peer, force=request.query_params.get("force") == "true")
        return ok(True, begun)

    @app.get("/collections/{name}/cluster")
    def describe(name: str, request: Request) -> JSONResponse:
        begun = time.perf_counter()
        query_parameters(request.query_params, ())
        return ok(nodes.describe(name, collections.get(name).shard.info().points_count), begun)

    @app.post("/collections/{name}/cluster")
    def change(name: str, request: Request, body: Body) -> JSONResponse:
        asked = Asked(collections, name, request, body, _CLUSTER, "timeout")
        if not isinstance(asked.wanted, models.ReplicateShardOperation):
            raise Refusal(400, "the test double knows replicate_shard only")
        nodes.replicate(name, asked.wanted.replicate_shard)
        return asked.ok(True)

    # What no server has: tests say here what happens to its nodes.
    @app.post("/double/nodes")
    def add() -> JSONResponse:
        return ok(nodes.add(), time.perf_counter())

    @app.put("/double/nodes/{peer}/{state}")
    def set_state(peer: int, state: str) -> JSONResponse:
        nodes.set_away(peer, away=state == "away")
        return ok(True, time.perf_counter())
