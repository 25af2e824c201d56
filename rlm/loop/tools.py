"""The tools of a root model's code: read-only, and bound to one corpus by construction."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from ingest.errors import LeadlineError
from retrieval.errors import QueryError
from rlm.errors import AnswerError, BudgetExhaustedError, LanguageModelUnavailableError, RunCancelledError
from rlm.llm.port import SubCalls
from rlm.loop.asking_tools import AskingTools, Descend
from rlm.loop.environment import Environment
from rlm.loop.read_log import ReadLog
from rlm.loop.reading_tools import ReadingTools
from rlm.loop.submit import Submissions
from rlm.loop.time_limit import RESOURCE, TimeLimit
from rlm.sandbox.port import Tool, ToolError

# A loop that calls a tool for each of very many things is better done by one call.
MAX_CALLS_OF_A_CELL = 20_000
_Returned = TypeVar("_Returned")


class Toolbox:
    """The tools of a run by name, with what they have to say to the model."""

    def __init__(
        self,
        environment: Environment,
        calls: SubCalls,
        log: ReadLog,
        submissions: Submissions,
        time: TimeLimit,
        descend: Descend | None = None,
    ) -> None:
        """`calls` are those that the code may spend; `descend` runs a part, None where there are none."""
        self._reading = ReadingTools(environment, log, self._note, time.bounding(environment.cancelled))
        self._asking = AskingTools(environment, calls, log, self._note, descend)
        self._submissions = submissions
        self._time = time
        self._notes: dict[str, None] = {}
        self._called = 0

    def tools(self) -> dict[str, Tool]:
        """The tools as the sandbox is given them."""
        reading, asking = self._reading, self._asking
        made = (
            *(reading.search, reading.grep, reading.count, reading.read, reading.outline, reading.records),
            *(asking.classify, asking.filter_records, asking.extract, asking.map_records, asking.pairs),
            *(asking.llm_query, asking.llm_query_batched, asking.rlm_query),
        )
        handing_in = (self._submissions.draft, self._submissions.submit)
        return {
            **{tool.__name__: _telling(tool, self._require_room) for tool in made},
            **{tool.__name__: _telling(tool, self._time.require_to_hand_in) for tool in handing_in},
        }

    def begin_cell(self) -> None:
        """Count the calls of a cell from here."""
        self._called = 0

    def notes(self) -> list[str]:
        """What the model has to know of what its tools returned since this was last asked."""
        notes, self._notes = list(self._notes), {}
        return notes

    def _note(self, sentence: str) -> None:
        self._notes[sentence] = None

    def _require_room(self) -> None:
        self._time.require()
        self._called += 1
        if self._called > MAX_CALLS_OF_A_CELL:
            raise ToolError(
                f"this cell has called tools {MAX_CALLS_OF_A_CELL:,} times, and that is the most: read() and the "
                "operators take lists, and count() and grep() go through all documents at once"
            )


def _telling(tool: Callable[..., _Returned], require: Callable[[], None]) -> Callable[..., _Returned]:
    """The tool, with its errors told to the code where that can do something about them; `require` is asked before.

    Whatever else the product's own errors say, such as that the catalog is away, ends the run: it is not the code's to
    mend, and no model is to read of hosts and users.
    """

    @wraps(tool)
    def told(*arguments: object, **named: object) -> _Returned:
        require()
        try:
            return tool(*arguments, **named)
        except LeadlineError as error:
            if not _for_the_code(error):
                raise
            raise ToolError(f"{error.detail} {error.hint or ''}".strip()) from error
        except (TypeError, ValueError) as error:
            raise ToolError(f"it cannot be called so: {error}") from error

    return told


def _for_the_code(error: LeadlineError) -> bool:
    if isinstance(error, RunCancelledError | LanguageModelUnavailableError):
        return False
    if isinstance(error, BudgetExhaustedError):
        return error.resource != RESOURCE
    return isinstance(error, AnswerError | QueryError)
