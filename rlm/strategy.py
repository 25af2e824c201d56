"""The shared base of all strategies: their interface and the per-request components that they use."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from ingest.storage.remarks import Remark
from retrieval.search.requests import Passage
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.errors import not_cancelled
from rlm.events import Event
from rlm.llm.port import SubCalls
from rlm.llm.profiles import ModelProfile
from rlm.requests import AnswerOptions, AnswerScope


class Search(Protocol):
    """A function that returns at most `top_k` passages within the caller's scope, best first."""

    def __call__(self, query: str, top_k: int) -> Sequence[Passage]: ...


class SpanSearch(Protocol):
    """A function that returns the spans of at most `top_k` passages, best first."""

    def __call__(self, query: str, top_k: int) -> Sequence[Handle]: ...


# Binds the search to one document, which is named by its id.
DocumentSearch = Callable[[str], SpanSearch]


@dataclass(frozen=True)
class BoundModel:
    """Calls to a model that spend a request's budget, and the profile of the model."""

    calls: SubCalls
    profile: ModelProfile


class Phrasing(Protocol):
    """Says a remark in the language of a question, or in English if that language is not available."""

    def __call__(self, question: str, remark: Remark) -> str: ...


def phrase_in_english(question: str, remark: Remark) -> str:
    """Return the English text of a remark."""
    return str(remark)


@dataclass(frozen=True)
class Context:
    """The components of one request, which `AnswerPipeline` creates once and binds to the caller's scope.

    `question` is standalone; `queries` are additional queries. `calls` spend the request's budget and are logged if the
    run is durable. `corpus` opens the documents in scope, and returns the same documents each time. `nonce` returns a
    new mark for untrusted text. A resumed run gets the same marks and the same `today` as before. `search_document`
    returns the search within one document of the scope, named by its id; None means that documents are read whole.
    `may_be_absent` means that the names of the documents suggest that none is about the question. `phrase` says what
    code answers in the language of the question.
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
    search_document: DocumentSearch | None = None
    may_be_absent: bool = False
    phrase: Phrasing = phrase_in_english

    def get_reader(self) -> BoundModel:
        """Return the model that reads records: `reader` if it is set, otherwise the answering model."""
        return BoundModel(self.calls, self.profile) if self.reader is None else self.reader()


class Strategy(Protocol):
    """A way of answering questions.

    `stream` runs in the thread that iterates it, yields events, and ends with `Drafted` unless it raises an error. The
    concatenation of the yielded `Delta`s is the text of the draft. `context.cancelled` is checked before each model
    call, and the iterator can also be closed between events.
    """

    def stream(self, context: Context) -> Iterator[Event]: ...


class StageClock:
    """Milliseconds spent in each stage. The times of repeated stages are added up."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def record_lap(self, stage: str) -> None:
        """Add the time since the last lap to `stage`."""
        now = time.perf_counter()
        self._laps[stage] = self._laps.get(stage, 0.0) + (now - self._last) * 1000
        self._last = now

    def get_stage_times(self) -> dict[str, float]:
        """Return the milliseconds spent in each stage so far, and their sum as `total`."""
        laps = {**self._laps, "total": (self._last - self._begun) * 1000}
        return {stage: round(milliseconds, 1) for stage, milliseconds in laps.items()}
