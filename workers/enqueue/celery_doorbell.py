"""Notifies Celery workers through the broker."""

import queue
import threading
import time

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from ingest.storage.queue.records import JobKind
from workers.enqueue.celery_app import send_notification

_MAX_PENDING_NOTIFICATIONS = 1_000
# Time after a failed send for which notifications are dropped, so that not all of them have to wait for the broker to
# time out.
_BROKER_PAUSE_SECONDS = 5.0

log = structlog.get_logger(__name__)


class CeleryNotifier:
    """Sends notifications from a separate thread, so that no request waits for the broker.

    Notifications are dropped while the broker is unreachable or too many of them are pending. Later, a sweep sends a
    notification for every row that is still waiting.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._rings: queue.Queue[JobKind | None] = queue.Queue(_MAX_PENDING_NOTIFICATIONS)
        self._away_until = 0.0
        self._thread = threading.Thread(target=self._send_notifications, name="doorbell", daemon=True)
        self._thread.start()

    def notify(self, kind: JobKind) -> None:
        try:
            self._rings.put_nowait(kind)
        except queue.Full:
            log.debug("notification dropped", kind=kind)

    def close(self) -> None:
        try:
            self._rings.put(None, timeout=1.0)
        except queue.Full:
            return
        self._thread.join(timeout=3.0)

    def _send_notifications(self) -> None:
        while (kind := self._rings.get()) is not None:
            if time.monotonic() < self._away_until:
                continue
            try:
                send_notification(self._app, kind)
            except (OperationalError, OSError) as error:
                self._away_until = time.monotonic() + _BROKER_PAUSE_SECONDS
                log.warning(
                    "notification not sent: broker unreachable; the next sweep will send another", error=repr(error)
                )
