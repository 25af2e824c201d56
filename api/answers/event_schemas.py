"""Wire models for the events of a streamed answer, which the server writes and the Python client reads."""

from collections.abc import Mapping

from pydantic import Field

from api.answers.schemas import AnswerOut, FoundPassageOut
from api.http.remark_schemas import RemarkOut
from api.http.wire import Wire


class CondensedOut(Wire):
    """A follow-up question was rewritten as a standalone question."""

    question: str


class RoutedOut(Wire):
    """The chosen strategy and the reason for it. If the cost is large, a cost estimate is included.

    `coded_reason` and `coded_estimate` are the same texts with their codes, or null.
    """

    strategy: str
    reason: str
    estimate: str
    coded_reason: RemarkOut | None = None
    coded_estimate: RemarkOut | None = None


class RetrievedOut(Wire):
    """A search for `query` found this number of `passages`, in documents with these `titles`.

    `found` lists the best passages, at most 12, best first.
    """

    query: str
    passages: int
    titles: list[str]
    found: list[FoundPassageOut] = Field(default_factory=list)


class ReadingOut(Wire):
    """The language model is reading passages of documents with these `titles`; `call` counts from 1."""

    call: int
    titles: list[str]


class PlannedOut(Wire):
    """The plan of a table answer: one sentence per step, and the SQL. `coded_steps` are the steps with their codes."""

    steps: list[str]
    sql: str
    coded_steps: list[RemarkOut | None] = Field(default_factory=list)


class WorkingOut(Wire):
    """Progress of a long step: `done` units of work out of `total`. `coded_step` is the step with its code, or null."""

    step: str
    done: int
    total: int
    coded_step: RemarkOut | None = None


class CellOut(Wire):
    """Code that the model wrote, and its result. `part` and `depth` identify the sub-run that ran the code.

    `title` says what the code is for, in the model's words. If the model did not say it, `coded_title` is the same
    text with its code; otherwise it is null.
    """

    number: int
    depth: int
    part: str
    title: str = ""
    coded_title: RemarkOut | None = None
    code: str | None
    note: str
    output: str
    error: str | None
    seconds: float
    sub_calls: int


class DeltaOut(Wire):
    """The next piece of the answer's text, which has not been checked yet."""

    text: str


class CheckingOut(Wire):
    """The text of the answer is complete. `sentences` is the number of sentences that are being checked."""

    sentences: int


class RestartedOut(Wire):
    """The service was restarted, and the answer starts from its beginning. Discard the events before this one."""


# An event of an answer. The last event is either `completed` with the whole answer, or `error`, whose body is a
# problem.
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
    | RestartedOut
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
    "restarted": RestartedOut,
    "completed": AnswerOut,
}
