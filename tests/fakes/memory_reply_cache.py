"""A cache of replies that ends with the process."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence

from ingest.storage.answers.replies import StoredReply
from ingest.storage.documents.records import Work


class MemoryReplyCache:
    """Keeps at most `max_bytes` for each tenant."""

    def __init__(self, max_bytes: int = 64 * 1024**2) -> None:
        self._max_bytes = max_bytes
        self._tenants: dict[str, OrderedDict[str, StoredReply]] = {}
        self._lock = threading.Lock()

    def load_replies(self, tenant_id: str, keys: Collection[str]) -> Mapping[str, StoredReply]:
        with self._lock:
            kept = self._tenants.get(tenant_id, OrderedDict())
            found = {key: kept[key] for key in keys if key in kept}
            for key in found:
                kept.move_to_end(key)
            return found

    def store_replies(self, tenant_id: str, replies: Sequence[StoredReply], work: Work | None = None) -> None:
        with self._lock:
            kept = self._tenants.setdefault(tenant_id, OrderedDict())
            for reply in replies:
                if reply.size_bytes <= self._max_bytes / 8:
                    kept.setdefault(reply.key, reply)
            size = sum(reply.size_bytes for reply in kept.values())
            while size > self._max_bytes:
                _, oldest = kept.popitem(last=False)
                size -= oldest.size_bytes

    def delete_replies(self, tenant_id: str) -> int:
        with self._lock:
            return len(self._tenants.pop(tenant_id, {}))
