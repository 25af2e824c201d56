"""Writes a run's log from a thread of its own: what gathers while one commit is under way goes into the next."""

import threading
from collections.abc import Callable, Sequence

from ingest.runs import Entry


class LogWriter:
    """Callers hand entries over without waiting, and wait once before they use what they have handed over.

    So a batch of a thousand sub-calls costs a few commits and not a thousand, and each of them is logged within
    milliseconds. After a failure nothing more is written, and every method raises it.
    """

    def __init__(self, append: Callable[[Sequence[Entry]], None]) -> None:
        self._append = append
        self._changed = threading.Condition()
        self._waiting: list[Entry] = []
        self._put = self._written = 0
        self._failure: Exception | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._write, name="run-log", daemon=True)
        self._thread.start()

    def put(self, *entries: Entry) -> None:
        """Hand entries over."""
        with self._changed:
            self._raise()
            self._waiting += entries
            self._put += len(entries)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until everything that was handed over before is committed."""
        with self._changed:
            until = self._put
            self._changed.wait_for(lambda: self._written >= until or self._failure is not None)
            self._raise()

    def close(self) -> None:
        """Write what waits, and end; raises nothing."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                entries, self._waiting = self._waiting, []
                if not entries:
                    return
            failure: Exception | None = None
            try:
                self._append(entries)
            except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for the entries
                failure = error
            with self._changed:
                self._failure, self._written = failure, self._written + len(entries)
                self._changed.notify_all()
                if failure is not None:
                    return
