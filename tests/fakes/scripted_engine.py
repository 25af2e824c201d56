"""An engine that sends what it is told to, and remembers what it was asked."""

import threading
from collections.abc import Sequence

from rlm.errors import LanguageModelError
from rlm.llm.local.protocol import Emit, Event, GenerationRequest


class ScriptedTicket:
    """`cancelled` is set when the server gives the ticket back."""

    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


class ScriptedEngine:
    """Sends `events` for every request at once, or refuses with `refusal`."""

    def __init__(self, events: Sequence[Event] = (), *, refusal: LanguageModelError | None = None) -> None:
        self._events = events
        self._refusal = refusal
        self.requests: list[GenerationRequest] = []
        self.tickets: list[ScriptedTicket] = []
        self.asked = threading.Event()

    def submit(self, request: GenerationRequest, emit: Emit) -> ScriptedTicket:
        if self._refusal is not None:
            raise self._refusal
        ticket = ScriptedTicket()
        self.requests.append(request)
        self.tickets.append(ticket)
        for event in self._events:
            emit(event)
        self.asked.set()
        return ticket
