"""The events that a caller receives while an answer is produced, in order. The last event is `Completed`."""

from collections.abc import Iterable
from dataclasses import dataclass

from retrieval.search.requests import Passage
from rlm.answers import Answer, Draft


@dataclass(frozen=True)
class Condensed:
    """A follow-up question was rewritten as a standalone question."""

    question: str


@dataclass(frozen=True)
class Routed:
    """The chosen strategy, the reason for choosing it, and the likely cost if it takes more than a few calls."""

    strategy: str
    reason: str
    estimate: str = ""


@dataclass(frozen=True)
class Retrieved:
    """A search for `query` finished and returned these passages."""

    passages: tuple[Passage, ...]
    query: str = ""


@dataclass(frozen=True)
class Reading:
    """The language model is reading these passages. `call` is the number of the model call, from 1."""

    call: int
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Planned:
    """The computation behind a table answer: one sentence per step, and the SQL."""

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
    """A reply from the root model and its result. `depth` is zero-based; `note` is the host's comment on the reply.

    `part` is empty for the top-level run, and "1.2" for the second sub-run of its first sub-run. `output` and `error`
    are the text that the model saw. `title` says for people what the code is for: in the model's words, or as a remark.
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
    title: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a run: the root model's code or other reply, and its result."""

    turn: Turn


@dataclass(frozen=True)
class Delta:
    """The next piece of the answer's text. The concatenation of all pieces is `Answer.text`."""

    text: str


@dataclass(frozen=True)
class Drafted:
    """A strategy's last event: the whole draft, which is then checked.

    Callers of `AnswerPipeline` do not see this event.
    """

    draft: Draft


@dataclass(frozen=True)
class Checking:
    """The draft has been written, and a judge is checking the given number of its sentences."""

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
