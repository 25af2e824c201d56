"""A direct answer that begins while a model still chooses the strategy, so that its text arrives sooner.

Only a scope that a direct answer reads completely gets one: there, the choice decides whether the answer is needed, but
not which prompt the model gets. Nothing of an early answer is shown, or recorded as used, before it is chosen.
"""

import threading
from collections.abc import Iterator
from contextvars import copy_context
from queue import SimpleQueue

from ingest.storage.documents.records import UsedVersions
from rlm.build import OpenRequest
from rlm.events import Event
from rlm.metrics import EARLY_ANSWERS
from rlm.requests import StrategyName

# One slot for the model that chooses, and one for the answer, so that the answer does not begin in place of a request
# that is needed in any case.
_SLOTS = 2


class EarlyAnswer:
    """The direct answer to one question, which may begin early. A thread of its own then produces the events.

    Call `close` in any case: it ends the thread. The call of a dropped answer is cancelled, but its tokens still count.
    """

    def __init__(self, open_request: OpenRequest, question: str) -> None:
        self._open_request = open_request
        self._question = question
        self._thread: threading.Thread | None = None
        self._dropped = threading.Event()
        self._is_kept = False
        # What the answer uses, which is recorded separately until the answer is kept. Assigned when it begins.
        self._used: UsedVersions
        self._items: SimpleQueue[Event | BaseException | None] = SimpleQueue()

    @property
    def has_begun(self) -> bool:
        return self._thread is not None

    def begin_if_affordable(self) -> None:
        """Begin the answer, if the request may spend tokens on an answer that may be dropped."""
        if not _can_answer_early(self._open_request):
            return
        self._used = self._open_request.request.used.fork()
        context = self._open_request.build_whole_context(self._question, self._used, self._is_cancelled)
        events = self._open_request.build_strategy(StrategyName.DIRECT).stream(context)
        run = copy_context().run  # Log lines of the thread name the request.
        self._thread = threading.Thread(target=run, args=(self._produce, events), name="early-answer", daemon=True)
        self._thread.start()

    def iter_events(self) -> Iterator[Event]:
        """Keep the answer, and yield its events. Raises the strategy's errors."""
        self._is_kept = True
        while (item := self._items.get()) is not None:
            # Record what an event was made of before anybody can store the event.
            # guard: early-answers-recorded
            self._open_request.request.used.include(self._used)
            if isinstance(item, BaseException):
                raise item
            yield item

    def drop(self) -> None:
        """Cancel the answer, without waiting for the end of its call."""
        self._dropped.set()

    def close(self) -> None:
        """Cancel the answer unless it has ended, and wait until its tokens are counted. Closing again does nothing."""
        self.drop()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
            EARLY_ANSWERS.labels("kept" if self._is_kept else "dropped").inc()

    def _is_cancelled(self) -> bool:
        return self._dropped.is_set() or self._open_request.cancelled()

    def _produce(self, events: Iterator[Event]) -> None:
        try:
            for event in events:
                self._items.put(event)
        except BaseException as error:  # noqa: BLE001 - `iter_events` raises the error
            self._items.put(error)
        else:
            self._items.put(None)


def _can_answer_early(open_request: OpenRequest) -> bool:
    """Return whether a request may spend tokens on an answer that may be dropped.

    If spending is limited, all of it is left for the strategy that is chosen. Nobody waits for the first word of a
    background answer.
    """
    return not (
        open_request.background
        # guard: early-answers-unlimited
        or open_request.budget.limits_spending
        or open_request.count_free_slots() < _SLOTS
    )
