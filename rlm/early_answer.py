"""A direct answer that is started while a model still chooses the strategy, so that its text arrives sooner.

Only a scope of which a direct answer reads everything gets one: there, the choice decides whether the answer is
needed, but not which prompt the model gets. Nothing of an early answer is shown or recorded before it is chosen.
"""

import threading
from collections.abc import Iterator
from contextvars import copy_context
from queue import SimpleQueue

from rlm.build import OpenRequest
from rlm.events import Event
from rlm.metrics import EARLY_ANSWERS
from rlm.requests import StrategyName

# One slot for the model that chooses, and one for the answer. An early answer must keep no other request waiting.
_SLOTS = 2


def can_answer_early(open_request: OpenRequest) -> bool:
    """Return whether a request may spend tokens on an answer that may be dropped.

    A limit on spending is left to the answer itself, and nobody waits for the first word of a background answer.
    """
    return not (
        open_request.background
        # guard: early-answers-unlimited
        or open_request.budget.limits_spending
        or open_request.count_free_slots() < _SLOTS
    )


class EarlyAnswer:
    """The events of one early answer, which a thread of its own produces.

    Call `close` in any case: it ends the thread. A dropped answer's call is cancelled, and its tokens still count.
    """

    def __init__(self, open_request: OpenRequest, question: str) -> None:
        self._open_request = open_request
        self._used = open_request.request.used.fork()
        self._is_kept = False
        self._dropped = threading.Event()
        self._items: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        context = open_request.build_whole_context(question, self._used, self._is_cancelled)
        events = open_request.build_strategy(StrategyName.DIRECT).stream(context)
        run = copy_context().run  # Log lines of the thread name the request.
        self._thread = threading.Thread(target=run, args=(self._produce, events), name="early-answer", daemon=True)
        self._thread.start()

    def iter_events(self) -> Iterator[Event]:
        """Keep the answer, and yield its events. Raises the strategy's errors."""
        self._is_kept = True
        while (item := self._items.get()) is not None:
            # What an event was made of is recorded before anybody can store the event.
            # guard: early-answers-recorded
            self._open_request.request.used.include(self._used)
            if isinstance(item, BaseException):
                raise item
            yield item

    def drop(self) -> None:
        """Cancel the answer, without waiting for the end of its call."""
        self._dropped.set()

    def close(self) -> None:
        """Cancel the answer unless it has ended, and wait until its tokens are counted."""
        self.drop()
        self._thread.join()
        EARLY_ANSWERS.labels("kept" if self._is_kept else "dropped").inc()

    def _is_cancelled(self) -> bool:
        return self._dropped.is_set() or self._open_request.cancelled()

    def _produce(self, events: Iterator[Event]) -> None:
        try:
            for event in events:
                self._items.put(event)
        except BaseException as error:  # noqa: BLE001 - the error is raised by `iter_events`
            self._items.put(error)
        else:
            self._items.put(None)
