"""Runs the cells of a run again with changed results of tools, and returns the answers that they then submit."""

import time
from collections.abc import Callable

from ingest.storage.errors import LeadlineError
from rlm.checking.markers import list_sentence_spans
from rlm.errors import RunCancelledError, not_cancelled
from rlm.loop.literals import raise_bounds
from rlm.loop.replay.changes import Change, ChangeKind
from rlm.loop.replay.records import SUBMITTING_TOOLS, RepeatedTool, ToolCalls, ToolRecord
from rlm.sandbox.port import Sandbox, ToolError

UNCHANGED, EMPTY = Change(ChangeKind.NONE), Change(ChangeKind.EMPTY)


class ChangedAnswers:
    """The answers of a run by the change of its tools' results. The cells run once for each change.

    `found` contains the answers so far, in the order of the runs: each is a list of sentences, or None if no answer was
    submitted.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        record: ToolRecord,
        render: Callable[[object], str],
        *,
        max_seconds: float,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        """Create the answers. `render` returns the text of a submitted value. Runs end after `max_seconds` in total."""
        self._sandbox = sandbox
        self._record = record
        self._render = render
        self._cancelled = cancelled
        self._deadline = time.monotonic() + max_seconds
        self.found: dict[Change, list[str] | None] = {}

    @property
    def sentences(self) -> list[str]:
        """The sentences of the answer that the cells submit without a change."""
        return self.find_answer(UNCHANGED) or []

    def is_time_over(self) -> bool:
        return time.monotonic() > self._deadline

    def find_answer(self, change: Change) -> list[str] | None:
        """Return the sentences of the answer after a change, or None if no answer was submitted."""
        if change not in self.found:
            self.found[change] = self._run_cells(change)
        return self.found[change]

    def _run_cells(self, change: Change) -> list[str] | None:
        handed_in: list[object] = []

        def store_answer(answer: object, *_: object, **__: object) -> str:
            handed_in.append(answer)
            return "kept"

        tools = {
            name: RepeatedTool(name, self._record.calls.get(name, ToolCalls()), change) for name in self._record.tools
        }
        session = None
        try:
            session = self._sandbox.open({**tools, **dict.fromkeys(SUBMITTING_TOOLS, store_answer)})
            for cell in self._record.cells:
                code = raise_bounds(cell, change.number) if change.number else cell
                session.run(code, cancelled=lambda: self._cancelled() or self.is_time_over())
        except RunCancelledError:
            if self._cancelled():
                raise
            return None
        except LeadlineError:
            return None
        finally:
            if session is not None:
                session.close()
        try:
            return split_sentences(self._render(handed_in[-1])) if handed_in else None
        except ToolError:  # The submitted value is empty, or cannot be represented in JSON.
            return None


def split_sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in list_sentence_spans(text)]
