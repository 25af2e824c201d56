"""The events a caller sees while an answer is made, in order; the last one is `Completed`."""

from collections.abc import Iterable
from dataclasses import dataclass

from retrieval.search.requests import Passage
from rlm.answers import Answer, Draft


@dataclass(frozen=True)
class Condensed:
    """A follow-up was rewritten as a standalone question."""

    question: str


@dataclass(frozen=True)
class Routed:
    """The chosen strategy, the reason, and the likely cost if it is more than a few calls."""

    strategy: str
    reason: str
    estimate: str = ""


@dataclass(frozen=True)
class Retrieved:
    """A search for `query` has finished and found these passages."""

    passages: tuple[Passage, ...]
    query: str = ""


@dataclass(frozen=True)
class Reading:
    """The language model is reading these passages; `call` counts from 1."""

    call: int
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Planned:
    """The computation of a table answer: one sentence per step, and the SQL."""

    steps: tuple[str, ...]
    sql: str


@dataclass(frozen=True)
class Working:
    """Progress of a long step: records done, or cells out of the maximum for a run."""

    step: str
    done: int
    total: int


@dataclass(frozen=True)
class Turn:
    """A reply of the root model and its result. `depth` counts from 0; `note` is the host's remark on it.

    `part` is empty for the run itself, and "1.2" for the second part of its first part. `output` and `error` are the
    text that the model saw.
    """

    number: int
    depth: int
    code: str | None
    note: str
    output: str
    error: str | None
    seconds: float
    subcalls: int
    part: str = ""


@dataclass(frozen=True)
class Cell:
    """A root model's code, or other reply, and its result."""

    turn: Turn


@dataclass(frozen=True)
class Delta:
    """The next piece of the answer's text; all pieces joined are `Answer.text`."""

    text: str


@dataclass(frozen=True)
class Drafted:
    """The strategy's last event: the whole draft, to be checked next. Callers of `AnswerPipeline` do not see it."""

    draft: Draft


@dataclass(frozen=True)
class Checking:
    """The draft is written, and this many of its sentences are being judged."""

    sentences: int


@dataclass(frozen=True)
class Completed:
    """The last event."""

    answer: Answer


Event = Condensed | Routed | Retrieved | Reading | Planned | Working | Cell | Delta | Drafted | Checking | Completed


def collect_answer(events: Iterable[Event]) -> Answer:
    """Return the answer at the end of a stream of events that was not cancelled."""
    for event in events:
        if isinstance(event, Completed):
            return event.answer
    raise RuntimeError("a stream of events that was not cancelled must end with Completed")
