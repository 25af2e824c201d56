"""The events that a caller sees while an answer is produced, in order. The last one is `Completed`."""

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
    """The strategy that was chosen, the reason, and the likely cost if it is more than a few calls."""

    strategy: str
    reason: str
    estimate: str = ""


@dataclass(frozen=True)
class Retrieved:
    """A search for `query` has finished and returned these passages."""

    passages: tuple[Passage, ...]
    query: str = ""


@dataclass(frozen=True)
class Reading:
    """The language model is reading these passages. `call` is the number of the call, from 1."""

    call: int
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Planned:
    """The computation for a table answer: its steps, one sentence each, and the SQL."""

    steps: tuple[str, ...]
    sql: str


@dataclass(frozen=True)
class Working:
    """Progress of a long-running step: the number of records processed, or of cells out of the run's maximum."""

    step: str
    done: int
    total: int


@dataclass(frozen=True)
class Turn:
    """A reply of the root model and its result. `depth` counts from 0; `note` is the host's remark on the reply.

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
    """A cell: code or another reply of a root model, and its result."""

    turn: Turn


@dataclass(frozen=True)
class Delta:
    """The next piece of the answer's text. All pieces, joined, are `Answer.text`."""

    text: str


@dataclass(frozen=True)
class Drafted:
    """A strategy's last event: the whole draft, which is checked next.

    Callers of `AnswerPipeline` do not see this event.
    """

    draft: Draft


@dataclass(frozen=True)
class Checking:
    """The draft has been written, and this many of its sentences are being judged."""

    sentences: int


@dataclass(frozen=True)
class Completed:
    """The last event: the answer is complete."""

    answer: Answer


Event = Condensed | Routed | Retrieved | Reading | Planned | Working | Cell | Delta | Drafted | Checking | Completed


def collect_answer(events: Iterable[Event]) -> Answer:
    """Return the answer at the end of a stream of events. The stream must not have been cancelled."""
    for event in events:
        if isinstance(event, Completed):
            return event.answer
    raise RuntimeError("a stream of events that was not cancelled must end with Completed")
