"""The loop: the root model writes a cell, the sandbox runs it, and the model sees the result.

This repeats until an answer is submitted. The method is from Zhang, Kraska & Khattab (arXiv 2512.24601): the corpus is
part of the code's environment and not of the prompt. Unlike in the paper, the answer is submitted by a call, budgets
limit each call, and the root model's own calls use the same interface as calls made by its code, so that they are
logged, replayed and paid for in the same way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ingest.storage.remarks import Remark, name_problem
from rlm.corpus.corpus import Corpus, select_sample_spans
from rlm.errors import (
    BudgetExhaustedError,
    ContextTooLongError,
    LanguageModelOutputError,
    RunCancelledError,
    SandboxLostError,
)
from rlm.events import Turn
from rlm.llm.budgets import Amount, Budget, Usage
from rlm.llm.port import SubCall, SubFailure, rebuild_error
from rlm.llm.profiles import estimate_tokens
from rlm.loop.environment import ROOT_PURPOSE, Environment, RecordedSubCalls, TimeLimit
from rlm.loop.evidence import convert_to_plain_handle
from rlm.loop.literals import CellLiterals, extract_numbers
from rlm.loop.prompts import (
    BUDGET_WORDS,
    UNUSABLE_REPLY,
    RootReply,
    build_instructions,
    build_opening,
    format_cell,
    format_next_request,
    format_older_cell,
    format_omission_note,
    parse_root_reply,
)
from rlm.loop.read_log import ReadLog
from rlm.loop.replay.checker import ReplayChecker
from rlm.loop.replay.records import ToolRecord
from rlm.loop.submit import Submission, Submissions, render_submitted_answer
from rlm.loop.tools import Toolbox
from rlm.sandbox.port import CellResult, Session

_MAX_IDLE_TURNS = 5
_MAX_LOST_SANDBOXES = 3
_MAX_NOTES = 8
# Fractions of the prompt's size limit. If earlier cells exceed the first fraction, they are trimmed to the second
# fraction, so that the start of the prompt then stays unchanged for several cells.
_HISTORY_SHARE, _TRIMMED_SHARE = 0.8, 0.4
# Number of final cells for which a part of each budget is reserved, and number of tokens of earlier cells in the prompt
# of each final cell.
_LAST_CELLS, _TURNS_TOKENS = 2, 8_000
# Fractions of a limit. When one of these fractions has been spent, the model is warned.
_WARNING_SHARES = (0.5, 0.8, 0.95)
# Failures of a call by the root model after which its next call may succeed.
_RECOVERABLE_CODES = frozenset({LanguageModelOutputError.code, ContextTooLongError.code})


class RecursiveRun:
    """A run that answers one question over one corpus. Iterate over `iter_turns` once.

    After that, `answer` and `reason` contain the outcome.
    """

    def __init__(self, environment: Environment, question: str) -> None:
        self._environment = environment
        self._question = question
        self._cancelled = environment.cancelled
        self._history = _History(environment, question)
        self._budget = environment.budget.create_budget_with_reserve(self._compute_reserve())
        self._own = RecordedSubCalls(environment.calls, environment.profile.price)
        self._calls = RecordedSubCalls(environment.bind_sub_calls(self._budget), environment.sub_model.price)
        self._parts, self._used_by_parts, self._dollars_of_parts = 0, Usage(), Decimal(0)
        self._time = TimeLimit(environment.budget)
        self._literals = CellLiterals()
        self._failure = ""
        self.log = ReadLog(environment.corpus)
        self.log.record_read_spans(self._history.shown)
        self.reason = ""
        self.submissions = Submissions(
            environment.corpus, self.log, self._literals, question=question, cancelled=self._has_ended
        )
        self._record = ToolRecord()
        descend = self._run_sub_run if environment.can_descend else None
        self._toolbox = Toolbox(environment, self._calls, self.log, self.submissions, self._time, descend)

    @property
    def usage(self) -> Usage:
        return self._own.usage + self._calls.usage + self._used_by_parts

    @property
    def dollars(self) -> Decimal:
        return self._own.dollars + self._calls.dollars + self._dollars_of_parts

    @property
    def answer(self) -> Submission | None:
        """The submitted answer, or the best draft if no answer was submitted."""
        return self.submissions.final or self.submissions.best

    def iter_turns(self) -> Iterator[Turn]:
        """Yield each turn when it ends. Afterwards, if no answer was submitted, `reason` says why the run ended.

        Raises `RunCancelledError` and `SandboxUnavailableError`. If there is no draft, errors of the model's server are
        also raised.
        """
        environment, tools = self._environment, self._record.wrap_tools(self._toolbox.build_tools())
        session = environment.sandbox.open(tools)
        idle = lost = 0
        try:
            for number in range(1, environment.max_cells + 1):
                reply = self._request_reply(number)
                if reply is None:
                    return
                turn, survived = self._run_turn(number, reply, session)
                environment.told(turn)
                yield turn
                if self.submissions.final is not None or self.reason:
                    return
                idle = 0 if turn.code is not None else idle + 1
                if idle == _MAX_IDLE_TURNS:
                    self.reason = Remark("run_no_code")
                    if self._failure:
                        self.reason = Remark("run_no_reply", problem=self._failure)
                    return
                if not survived:
                    lost += 1
                    session.close()
                    if lost == _MAX_LOST_SANDBOXES:
                        self.reason = Remark("run_code_lost")
                        return
                    session = environment.sandbox.open(tools)
                    self._record.reset()
            self.reason = Remark("run_cells_over", n=environment.max_cells)
        finally:
            session.close()

    def confirm_computation(self) -> None:
        """Run the cells again with changed results of tools if the answer claims to be computed by code.

        The answer then records which of its sentences changed. Raises `RunCancelledError` if the run was cancelled.
        """
        found = self.answer
        if found is None or not found.computed:
            return
        replays = ReplayChecker(
            self._environment.sandbox,
            self._record,
            render_submitted_answer,
            asked=frozenset(extract_numbers(self._question)),
            cancelled=self._cancelled,
        )
        self.submissions.apply_replay(replays.check_answer(found.handed_in))

    def _request_reply(self, cell_number: int) -> str | None:
        """Return the root model's next reply, or None if the run must end.

        After a temporary failure, the reply is empty, and `_failure` describes the failure.
        """
        if self._cancelled():
            raise RunCancelledError("The run was cancelled.")
        prompt = self._history.build_prompt(
            format_next_request(self._list_warnings(), cell_number, self._environment.max_cells)
        )
        most = self._environment.profile.max_output_tokens
        call = SubCall(self._history.instructions, prompt, most, purpose=ROOT_PURPOSE)
        (reply,) = self._own.run([call], cancelled=self._cancelled)
        self._failure = name_problem(reply.code, reply.detail) if isinstance(reply, SubFailure) else ""
        if not isinstance(reply, SubFailure):
            return reply.text
        if reply.code in _RECOVERABLE_CODES:
            self._history.trim_cells()
            return ""
        if reply.code != BudgetExhaustedError.code and self.answer is None:
            raise rebuild_error(reply)
        self.reason = name_problem(reply.code, reply.detail)
        return None

    def _run_turn(self, cell_number: int, reply: str, session: Session) -> tuple[Turn, bool]:
        """Run the code in a reply, and return the turn.

        The second value is False if the sandbox was lost with its variables.
        """
        read = RootReply(None, UNUSABLE_REPLY.format(self._failure)) if self._failure else parse_root_reply(reply)
        ran, survived = CellResult("", 0, None, 0.0), True
        if read.code is not None:
            self._literals.add_cell(read.code)
            self._record.cells.append(read.code)
            self._toolbox.start_cell()
            ran, survived = self._run_cell(read.code, session)
            notes = self._toolbox.pop_notes()
            if survived:  # Each attempt loses a sandbox at a different point, so notes on a lost cell would differ.
                ran = replace(ran, output=_append_notes(ran.output, notes))
        shown = "\n".join(part.rstrip() for part in (ran.output, ran.error or "", read.note) if part.strip())
        self.log.record_shown_text(shown)
        self._history.add_cell(
            format_cell(cell_number, read.code, shown), format_older_cell(cell_number, read.code, shown)
        )
        turn = Turn(
            number=cell_number,
            depth=self._environment.depth,
            part=self._environment.part,
            code=read.code,
            note=read.note,
            output=ran.output,
            error=ran.error,
            seconds=ran.seconds,
            subcalls=self._calls.pop_call_count(),
            title=read.title,
        )
        return turn, survived

    def _run_cell(self, code: str, session: Session) -> tuple[CellResult, bool]:
        """Run a cell, and return its result and whether the sandbox survived.

        If the cell exhausted the budget, the error becomes the run's `reason`.
        """
        try:
            return session.run(code, cancelled=self._has_ended), True
        except SandboxLostError as error:
            said = f"{error.detail} {error.hint or ''} The session was restarted: variables are gone."
        except BudgetExhaustedError as error:
            said = self.reason = name_problem(error.code, error.detail)
        except RunCancelledError:
            if self._cancelled() or not self._time.is_over():
                raise
            self._time.require_not_paused()
            said = self.reason = Remark("run_time_over")
        return CellResult("", 0, said, 0.0), False

    def _has_ended(self) -> bool:
        return self._cancelled() or self._time.is_over()

    def _compute_reserve(self) -> Amount:
        """Return the amount reserved for the root model's final calls.

        The reserve keeps the model's code from spending the whole budget.
        """
        profile = self._environment.profile
        prompt = min(profile.max_prompt_tokens, self._history.fixed_tokens + _TURNS_TOKENS)
        reading, writing = _LAST_CELLS * prompt, _LAST_CELLS * profile.max_output_tokens
        dollars = profile.price.compute_cost(reading, writing) if profile.price is not None else Decimal(0)
        return Amount(_LAST_CELLS, reading, writing, dollars)

    def _list_warnings(self) -> list[str]:
        """Return warnings about the spent fraction of the whole run's limits, including spending by sub-runs.

        The run keeps its own count, because the budget of a resumed run starts with earlier spending, and a resumed run
        must repeat its calls exactly.
        """
        budget, kept, warnings = self._budget.root, self._budget.kept_back, list[str]()
        for name, spent in self._compute_spending(budget).items():
            limit = getattr(budget.limits, name)
            share = float(spent) / float(limit) if limit else 0.0
            if share and limit - spent <= getattr(kept, name, 0):
                warnings.append(f"the remaining {BUDGET_WORDS[name]} are reserved for your cells; no more sub-calls.")
            elif share >= _WARNING_SHARES[0]:
                passed = max(each for each in _WARNING_SHARES if each <= share)
                warnings.append(f"over {passed:.0%} of the {BUDGET_WORDS[name]} are spent.")
        return warnings

    def _compute_spending(self, budget: Budget) -> dict[str, float | Decimal]:
        environment = self._environment
        spent: dict[str, float | Decimal] = dict(vars(environment.before + self.usage))
        if environment.profile.price is not None:
            spent["dollars"] = environment.before_dollars + self.dollars
        if environment.tells_time:
            spent["seconds"] = budget.elapsed_seconds
        return spent

    def _run_sub_run(self, question: str, corpus: Corpus) -> Mapping[str, Any]:
        """Answer a question over part of the corpus in a sub-run with its own session and the remaining budget."""
        environment = self._environment
        assert environment.bind is not None, "this run cannot start sub-runs"
        budget = self._budget.create_child()
        self._parts += 1
        part = replace(
            environment,
            corpus=corpus,
            calls=environment.bind(budget),
            budget=budget,
            depth=environment.depth + 1,
            part=f"{environment.part}.{self._parts}".removeprefix("."),
            before=environment.before + self.usage,
            before_dollars=environment.before_dollars + self.dollars,
        )
        child = RecursiveRun(part, question)
        try:
            for _ in child.iter_turns():
                pass
        finally:
            self._used_by_parts += child.usage
            self._dollars_of_parts += child.dollars
        self.log.merge_sub_run(child.log)
        found = child.answer
        if found is None or not found.found:
            said = child.reason or (found.text if found is not None else "not found")
            return {"answer": None, "evidence": [], "status": said}
        self.submissions.store_sub_run_answer(question, found)
        evidence = [
            {**convert_to_plain_handle(each.span), **({"quote": each.quote} if each.quote else {})}
            for each in found.cited
        ]
        status = "answered" if child.submissions.final else "partial"
        answer = found.text if found.result is None else found.result.value
        return {"answer": answer, "evidence": evidence, "status": status}


class _History:
    """The prompt of the root model: instructions and opening, which never change, and the most recent cells."""

    def __init__(self, environment: Environment, question: str) -> None:
        profile, corpus = environment.profile, environment.corpus
        self.shown = select_sample_spans(corpus)
        for span in self.shown:
            corpus.start_copying(span)
        self.instructions = build_instructions(profile)
        self._opening = build_opening(question, environment, self.shown)
        self.fixed_tokens = estimate_tokens(self.instructions + self._opening)
        self._room = max(0, profile.max_prompt_tokens - self.fixed_tokens)
        self._cells: list[str] = []
        self._last_when_older = ""
        self._left_out = 0

    def add_cell(self, cell: str, when_older: str) -> None:
        """Add the latest cell. `when_older` takes its place as soon as the next cell is added."""
        if self._cells:
            self._cells[-1] = self._last_when_older
        self._cells.append(cell)
        self._last_when_older = when_older
        if self._estimate_tokens() > _HISTORY_SHARE * self._room:
            self.trim_cells()

    def build_prompt(self, next_request: str) -> str:
        trimmed = format_omission_note(self._left_out) if self._left_out else ""
        return self._opening + trimmed + "".join(self._cells) + next_request

    def trim_cells(self) -> None:
        """Remove the oldest cells. If the last cell alone is too long, cut its middle."""
        room = _TRIMMED_SHARE * self._room
        while len(self._cells) > 1 and self._estimate_tokens() > room:
            self._cells.pop(0)
            self._left_out += 1
        if self._cells and self._estimate_tokens() > room:
            last, kept = self._cells[0], max(200, int(room))
            self._cells[0] = f"{last[: kept // 2]}\n… [cut] …\n{last[-kept // 2 :]}"

    def _estimate_tokens(self) -> int:
        return estimate_tokens("".join(self._cells))


def _append_notes(output: str, notes: Sequence[str]) -> str:
    """Return a cell's output, followed by the notes of tools on their results."""
    shown = [f"Note: {note}" for note in notes[:_MAX_NOTES]]
    if len(notes) > _MAX_NOTES:
        shown.append(f"Note: and {len(notes) - _MAX_NOTES} more such notes.")
    return "\n".join(part for part in (output.rstrip(), *shown) if part) if shown else output
