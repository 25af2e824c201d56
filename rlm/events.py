"""What a caller sees while an answer is made, in order; the last event is `Completed`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.passages import Passage
from rlm.answers import Answer, Draft

if TYPE_CHECKING:
    from rlm.loop.trajectory import Turn


@dataclass(frozen=True)
class Condensed:
    """A follow-up was rewritten as a question that stands alone."""

    question: str


@dataclass(frozen=True)
class Routed:
    """The strategy that answers, why it does, and what that may cost where it is more than a few calls."""

    strategy: str
    reason: str
    estimate: str = ""


@dataclass(frozen=True)
class Retrieved:
    """A search for `query` is done; these passages were found."""

    passages: tuple[Passage, ...]
    query: str = ""


@dataclass(frozen=True)
class Reading:
    """The language model now reads these passages; `call` counts from 1."""

    call: int
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class Planned:
    """How a table answer will be computed, a sentence a step, and the SQL."""

    steps: tuple[str, ...]
    sql: str


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
    """The next piece of the answer's text; all pieces joined are `Answer.text`."""

    text: str


@dataclass(frozen=True)
class Drafted:
    """The strategy's last event: the whole draft, which is checked next. Callers of `Answering` do not see it."""

    draft: Draft


@dataclass(frozen=True)
class Checking:
    """The draft is written; so many of its sentences are being judged."""

    sentences: int


@dataclass(frozen=True)
class Completed:
    """The last event."""

    answer: Answer


Event = Condensed | Routed | Retrieved | Reading | Planned | Working | Cell | Delta | Drafted | Checking | Completed


def complete(events: Iterable[Event]) -> Answer:
    """The answer at the end of a stream of events that nobody cancelled."""
    for event in events:
        if isinstance(event, Completed):
            return event.answer
    raise RuntimeError("a stream of events that nobody cancelled must end with Completed")
