"""A watchdog that stops a stuck worker: one that is idle and takes no messages although messages are waiting.

If a consumer's connection breaks while a finished message is being acknowledged, the consumer may wait forever on a
socket that nothing reads, without an error. This has been observed, and the transport's own health check does not
notice it. The process manager restarts the worker, and nothing is lost.
"""

import threading
import time
from collections.abc import Callable

import structlog

_CHECK_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Watchdog:
    """Watches a worker from a separate thread, and calls `give_up` once if the worker is stuck."""

    def __init__(
        self,
        *,
        count_waiting: Callable[[], int],
        count_taken: Callable[[], int],
        is_busy: Callable[[], bool],
        give_up: Callable[[], None],
        max_idle_seconds: float,
    ) -> None:
        """Prepare the watchdog.

        The watchdog gives up after `max_idle_seconds` seconds in which messages were waiting and the worker took none.
        `count_waiting` counts the messages in the worker's queues, and raises `OSError` or the transport's error if the
        broker is unreachable. `count_taken` counts the messages received so far.
        """
        self._waiting = count_waiting
        self._taken = count_taken
        self._busy = is_busy
        self._give_up = give_up
        self._seconds = max_idle_seconds
        self._last_taken = -1
        self._quiet_since: float | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def is_stuck(self, now: float) -> bool:
        """Return whether the worker is stuck now.

        This must be called regularly, because it compares the current state with that of earlier calls.
        """
        taken = self._taken()
        try:
            idle = not self._busy() and self._waiting() > 0
        # After any transport error, the length of the queues is unknown.
        except Exception as error:  # noqa: BLE001
            log.debug("broker unreachable", error=repr(error))
            idle = False
        if not idle or taken != self._last_taken:
            self._last_taken = taken
            self._quiet_since = None
            return False
        if self._quiet_since is None:
            self._quiet_since = now
        return now - self._quiet_since >= self._seconds

    def _run(self) -> None:
        while not self.is_stuck(time.monotonic()):
            time.sleep(_CHECK_SECONDS)
        log.error("worker exits to be restarted: messages are waiting, but it takes none")
        self._give_up()
