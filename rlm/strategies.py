"""What every way of answering shares: where passages come from, what a caller sees while it waits, and the port."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from retrieval.passages import Passage
from rlm.answers import Answer

if TYPE_CHECKING:
    from rlm.recursive.trajectory import Turn


class Retriever(Protocol):
    """Finds passages for a question, best first; bound to its tenant and collections by whoever made it."""

    def __call__(self, question: str) -> Sequence[Passage]: ...


@dataclass(frozen=True)
class Retrieved:
    """The search is done; these passages were found."""

    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Reading:
    """The language model now reads these passages; `call` counts from 1."""

    call: int
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Routed:
    """The strategy that answers, why it does, and what that will cost where it is more than a few calls."""

    strategy: str
    reason: str
    estimate: str = ""


@dataclass(frozen=True)
class Planned:
    """How the answer will be computed, a sentence a step; `by` is `rules` or the name of a model."""

    steps: tuple[str, ...]
    by: str


@dataclass(frozen=True)
class Working:
    """So much of a long step is done: records, or cells of the most that a run may have."""

    step: str
    done: int
    total: int


@dataclass(frozen=True)
class Cell:
    """A root model wrote code, or something else, and this came of it."""

    turn: "Turn"


@dataclass(frozen=True)
class Delta:
    """The next piece of the answer's text; it was checked before it was sent. All pieces joined are `Answer.text`."""

    text: str


@dataclass(frozen=True)
class Completed:
    """The last event."""

    answer: Answer


Event = Routed | Retrieved | Reading | Planned | Working | Cell | Delta | Completed


class Strategy(Protocol):
    """One way of answering.

    `stream` checks the question when it is iterated, ends with `Completed` unless cancelled, and runs in the thread
    that iterates it. `cancelled` is asked before each call of a model; closing the iterator between events works too.
    """

    @property
    def name(self) -> str: ...

    def stream(self, question: str, *, cancelled: Callable[[], bool] = ...) -> Iterator[Event]: ...


def never() -> bool:
    """Nobody cancels."""
    return False


def complete(events: Iterator[Event]) -> Answer:
    """The answer at the end of an uncancelled stream."""
    for event in events:
        if isinstance(event, Completed):
            return event.answer
    raise RuntimeError("a stream of events that nobody cancelled must end with Completed")


class StageClock:
    """Milliseconds by stage; a stage that runs again adds up."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Books the time since the last lap under `stage`."""
        now = time.perf_counter()
        self._laps[stage] = self._laps.get(stage, 0.0) + (now - self._last) * 1000
        self._last = now

    def laps(self) -> dict[str, float]:
        """Every stage so far, and `total`."""
        laps = {**self._laps, "total": (self._last - self._begun) * 1000}
        return {stage: round(milliseconds, 1) for stage, milliseconds in laps.items()}
