"""The common base of all strategies: their port, and the parts of one request that they work with."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from retrieval.search.requests import Passage
from rlm.corpus.corpus import Corpus
from rlm.errors import not_cancelled
from rlm.events import Event
from rlm.llm.port import SubCalls
from rlm.llm.profiles import ModelProfile
from rlm.requests import AnswerOptions, AnswerScope


class Search(Protocol):
    """Returns at most `top_k` passages within the caller's scope, best first."""

    def __call__(self, query: str, top_k: int) -> Sequence[Passage]: ...


@dataclass(frozen=True)
class BoundModel:
    """Calls to a model within a request's budget, and the model's profile."""

    calls: SubCalls
    profile: ModelProfile


@dataclass(frozen=True)
class Context:
    """The parts of one request, created once by `AnswerPipeline`. All of them are bound to the caller's scope.

    `question` is standalone; `queries` are additional words to search for. `calls` spend the request's budget and are
    logged if the run is durable. `corpus` opens the documents in scope, the same ones each time. `nonce` returns a new
    mark for untrusted text. A resumed run gets the same marks again, and the same `today`.
    """

    question: str
    scope: AnswerScope
    wanted: AnswerOptions
    profile: ModelProfile
    calls: SubCalls
    search: Search
    corpus: Callable[[], Corpus]
    nonce: Callable[[], str]
    today: date
    cancelled: Callable[[], bool] = not_cancelled
    queries: tuple[str, ...] = ()
    reader: Callable[[], BoundModel] | None = None

    def get_reader(self) -> BoundModel:
        """Return the model that reads records: a separate `reader`, or the answering model."""
        return BoundModel(self.calls, self.profile) if self.reader is None else self.reader()


class Strategy(Protocol):
    """A way of answering.

    `stream` runs in the thread that iterates it, yields events, and ends with `Drafted` unless it raises an error. The
    yielded `Delta`s, joined, are the draft's text. `context.cancelled` is checked before each model call; the iterator
    can also be closed between events.
    """

    def stream(self, context: Context) -> Iterator[Event]: ...


class StageClock:
    """Milliseconds spent, by stage. Repeated stages add up."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Record the time since the last lap under `stage`."""
        now = time.perf_counter()
        self._laps[stage] = self._laps.get(stage, 0.0) + (now - self._last) * 1000
        self._last = now

    def get_laps(self) -> dict[str, float]:
        """Return the milliseconds of every stage so far, and `total`."""
        laps = {**self._laps, "total": (self._last - self._begun) * 1000}
        return {stage: round(milliseconds, 1) for stage, milliseconds in laps.items()}
