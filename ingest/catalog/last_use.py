"""Records when keys were last used: at most about once a minute for each, and never in the way of a request."""

import queue
import threading

import structlog
from sqlalchemy import Engine, event, update

from ingest.storage.db.database import write
from ingest.storage.db.schema import api_keys
from ingest.storage.errors import LeadlineError

BETWEEN_SECONDS = 60.0
_MOST_WAITING = 1_000

log = structlog.get_logger(__name__)


class LastUse:
    """Written by a thread of its own, which begins with the first use; what cannot be written is left out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}
        self._waiting: queue.Queue[tuple[str, float] | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._pool = engine.pool
        event.listen(engine, "engine_disposed", lambda _: self.close())

    def note(self, key_id: str, written_at: float | None, at: float) -> None:
        """Have this use recorded, if the catalog and this process know of none within the last minute."""
        with self._lock:
            known = max(written_at or 0.0, self._noted.get(key_id, 0.0))
            if at - known < BETWEEN_SECONDS or self._is_closed:
                return
            if len(self._noted) >= _MOST_WAITING:
                self._noted.clear()
            self._noted[key_id] = at
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="last-use", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait((key_id, at))
        except queue.Full:
            log.debug("the last use of a key was not recorded", key=key_id)

    def close(self) -> None:
        """Record nothing more; a write under way ends first."""
        with self._lock:
            thread, self._thread, self._is_closed = self._thread, None, True
        if thread is not None:
            self._waiting.queue.clear()
            self._waiting.put(None)
            thread.join()
            self._pool.dispose()  # a write that was under way has given its connection back to a pool that is left

    def _write(self) -> None:
        while (use := self._waiting.get()) is not None:
            key_id, at = use
            self._pool = self._engine.pool
            older = api_keys.c.last_used_at.is_(None) | (api_keys.c.last_used_at < at)
            try:
                with write(self._engine) as connection:
                    connection.execute(update(api_keys).where(api_keys.c.id == key_id, older).values(last_used_at=at))
            except LeadlineError as error:
                log.debug("the last use of a key was not recorded", key=key_id, error=repr(error))
