"""Replies by the content of their calls, kept for a tenant: the port, what a key is made of, and its fake."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from ingest.catalog.replies import StoredReply
from rlm.llm.port import SubCall
from rlm.llm.profiles import ModelProfile


class ReplyCache(Protocol):
    """Keeps a tenant's replies until room is needed; those that were not used for longest go first."""

    def get(self, tenant_id: str, keys: Collection[str]) -> Mapping[str, StoredReply]:
        """Those that are there; each counts as used now."""

    def put(self, tenant_id: str, replies: Sequence[StoredReply]) -> None:
        """Keep them, but for what takes too much room alone; one that is there already stays as it is."""

    def forget(self, tenant_id: str) -> int:
        """Remove all of a tenant's replies; returns how many there were."""


def reply_key(tenant_id: str, profile: ModelProfile, call: SubCall) -> str:
    """A digest of everything that decides what the model answers, and of whose it is.

    The documents' words are in the prompt, so a key can be made only by who has them: a hit shows nobody a text that it
    did not send, and whatever a caller may not read it cannot ask for.
    """
    parts = [tenant_id, profile.fingerprint, *call.content]
    written = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


class MemoryReplyCache:
    """A cache that ends with the process, of at most `max_bytes` for each tenant."""

    def __init__(self, max_bytes: int = 64 * 1024**2) -> None:
        self._max_bytes = max_bytes
        self._tenants: dict[str, OrderedDict[str, StoredReply]] = {}
        self._lock = threading.Lock()

    def get(self, tenant_id: str, keys: Collection[str]) -> Mapping[str, StoredReply]:
        with self._lock:
            kept = self._tenants.get(tenant_id, OrderedDict())
            found = {key: kept[key] for key in keys if key in kept}
            for key in found:
                kept.move_to_end(key)
            return found

    def put(self, tenant_id: str, replies: Sequence[StoredReply]) -> None:
        with self._lock:
            kept = self._tenants.setdefault(tenant_id, OrderedDict())
            for reply in replies:
                if reply.size_bytes <= self._max_bytes / 8:
                    kept.setdefault(reply.key, reply)
            size = sum(reply.size_bytes for reply in kept.values())
            while size > self._max_bytes:
                _, oldest = kept.popitem(last=False)
                size -= oldest.size_bytes

    def forget(self, tenant_id: str) -> int:
        with self._lock:
            return len(self._tenants.pop(tenant_id, {}))


class NoReplyCache:
    """Keeps nothing."""

    def get(self, tenant_id: str, keys: Collection[str]) -> Mapping[str, StoredReply]:
        return {}

    def put(self, tenant_id: str, replies: Sequence[StoredReply]) -> None:
        return None

    def forget(self, tenant_id: str) -> int:
        return 0
