"""Events of a streamed answer on the wire: the server writes them, and the Python client reads them."""

from collections.abc import Mapping

from api.answers.schemas import AnswerOut
from api.http.wire import Wire


class CondensedOut(Wire):
    """A follow-up was rewritten as a question that stands alone."""

    question: str


class RoutedOut(Wire):
    """The chosen strategy, the reason for it, and what it may cost where that is much."""

    strategy: str
    reason: str
    estimate: str


class RetrievedOut(Wire):
    """A search for `query` found so many passages, in documents with these titles."""

    query: str
    passages: int
    titles: list[str]


class ReadingOut(Wire):
    """The language model now reads passages of documents with these titles; `call` counts from 1."""

    call: int
    titles: list[str]


class PlannedOut(Wire):
    """How a table answer is computed, one sentence a step, and the SQL."""

    steps: list[str]
    sql: str


class WorkingOut(Wire):
    """So much of a long step is done."""

    step: str
    done: int
    total: int


class CellOut(Wire):
    """Code that the model wrote, and what came of it; `part` and `depth` say where in the recursion."""

    number: int
    depth: int
    part: str
    code: str | None
    note: str
    output: str
    error: str | None
    seconds: float
    sub_calls: int


class DeltaOut(Wire):
    """The next piece of the answer's text, before it is checked."""

    text: str


class CheckingOut(Wire):
    """The text is complete, and so many of its sentences are being judged."""

    sentences: int


# The last event but for `error`, whose body is a problem, is `completed` with the whole answer.
AnswerEvent = (
    CondensedOut
    | RoutedOut
    | RetrievedOut
    | ReadingOut
    | PlannedOut
    | WorkingOut
    | CellOut
    | DeltaOut
    | CheckingOut
    | AnswerOut
)

ANSWER_EVENTS: Mapping[str, type[AnswerEvent]] = {
    "condensed": CondensedOut,
    "routed": RoutedOut,
    "retrieved": RetrievedOut,
    "reading": ReadingOut,
    "planned": PlannedOut,
    "working": WorkingOut,
    "cell": CellOut,
    "delta": DeltaOut,
    "checking": CheckingOut,
    "completed": AnswerOut,
}
