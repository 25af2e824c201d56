"""The loop: the root model writes a cell, the sandbox runs it, the model sees what it gave, until an answer is in.

After Zhang, Kraska & Khattab (arXiv 2512.24601): the corpus is an environment of the code, not a part of the prompt.
Other than there, the answer is handed in by a call that checks it, budgets bound each call, and all of the root's own
calls go through the same port as those of its code, so that they are logged, replayed and paid for alike.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.errors import (
    BudgetExhaustedError,
    ContextTooLongError,
    LanguageModelOutputError,
    RunCancelledError,
    SandboxLostError,
)
from rlm.llm.budgets import Amount, Budget, Limits
from rlm.llm.port import SubCall, SubCalls, SubFailure, raised
from rlm.llm.profiles import ModelProfile
from rlm.llm.tokens import estimated_tokens
from rlm.loop.prompts import cell, going_on, instructions, left_out, opening
from rlm.loop.replies import FAILED, RootReply, read_root_reply
from rlm.loop.spans import OpenedSpans, plain
from rlm.loop.submitting import Submissions, Submitted, as_text
from rlm.loop.time_limit import TIME_IS_OVER, TimeLimit
from rlm.loop.toolbox import Search, Toolbox, ToolContext
from rlm.loop.trajectory import ROOT, RecordedSubCalls, Told, Turn, untold
from rlm.operators.operators import Operators
from rlm.sandbox.port import Cell, Sandbox, Session
from rlm.usage import Usage
from rlm.verification import Located

MAX_TURNS = 30
_WARNED = {
    "calls": "calls",
    "prompt_tokens": "tokens to read",
    "completion_tokens": "tokens to write",
    "dollars": "dollars",
    "seconds": "seconds",
}
_MAX_IDLE_TURNS = 5
_MAX_NOTES = 8
_MAX_LOST_SANDBOXES = 3
# Of the room that a prompt has; what is over is cut to half of it, so that the beginning stays the same for a while.
_HISTORY_SHARE = 0.8
_TRIMMED_SHARE = 0.4
# What is kept of a budget for these, each with so much of earlier cells in its prompt.
_LAST_CELLS, _TURNS_TOKENS = 2, 8_000
# What share of a limit has to be spent before the model is told.
_WARNING_SHARES = (0.5, 0.8, 0.95)
# Failures of the root's own call after which the next may be better.
_MENDABLE = frozenset({LanguageModelOutputError.code, ContextTooLongError.code})


@dataclass(frozen=True)
class Workspace:
    """What a run has. `subcalls` and `budget` belong together; `bind` makes sub-calls for the budget of a part of it.

    `operators` are made from a corpus and sub-calls, so that those of a part are paid for from its own budget. `before`
    is what the run had used when this part of it began, `part` which one it is: the second part of the first is "1.2".
    Where a run is resumed by asking the same again, its model is
    not to be told how much of its time is spent, which is never the same: so only with `tells_time`.
    """

    corpus: Corpus
    subcalls: SubCalls
    profile: ModelProfile
    sandbox: Sandbox
    operators: Callable[[Corpus, SubCalls], Operators]
    search: Callable[[Corpus], Search] | None = None
    budget: Budget | None = None
    bind: Callable[[Budget], SubCalls] | None = None
    depth: int = 0
    part: str = ""
    before: Usage = field(default_factory=Usage)
    tells_time: bool = False
    max_turns: int = MAX_TURNS


class RecursiveRun:
    """One question over one corpus; `turns` is iterated once, and then there is an `ending`."""

    def __init__(
        self, workspace: Workspace, question: str, *, cancelled: Callable[[], bool], told: Told = untold
    ) -> None:
        self._workspace = workspace
        self._question = question
        self._cancelled = cancelled
        self._told = told
        limits = workspace.budget.root.limits if workspace.budget is not None else Limits()
        self._instructions = instructions(workspace.profile)
        self._opening = opening(
            question, workspace.corpus, deeper=self._may_descend(), limits=limits, cells=workspace.max_turns
        )
        self._budget = workspace.budget.keeping(self._of_last_cells()) if workspace.budget is not None else None
        self._own = RecordedSubCalls(workspace.subcalls)
        bound = workspace.bind(self._budget) if workspace.bind and self._budget else workspace.subcalls
        self._subcalls = RecordedSubCalls(bound)
        self._turns: list[str] = []
        self._left_out = 0
        self._children = Usage()
        self._parts = 0
        self.opened = OpenedSpans(workspace.corpus)
        self.reason = ""
        self._failure = ""
        self._time = TimeLimit(workspace.budget)
        self.submissions = Submissions(
            question, workspace.corpus, self.opened, cancelled=lambda: cancelled() or self._time.ended()
        )
        context = ToolContext(
            corpus=workspace.corpus,
            subcalls=self._subcalls,
            operators=workspace.operators(workspace.corpus, self._subcalls),
            profile=workspace.profile,
            opened=self.opened,
            submissions=self.submissions,
            time=self._time,
            cancelled=cancelled,
            search=workspace.search(workspace.corpus) if workspace.search else None,
            descend=self._descend if self._may_descend() else None,
        )
        self._toolbox = Toolbox(context)

    @property
    def usage(self) -> Usage:
        return self._own.usage + self._subcalls.usage + self._children

    @property
    def answer(self) -> Submitted | None:
        """What was submitted, or else the best draft."""
        return self.submissions.final or self.submissions.draft

    def turns(self) -> Iterator[Turn]:
        """Turns as they end. `reason` says afterwards why the run ended without a submission, where it did.

        Raises `RunCancelledError`, `SandboxUnavailableError`, and what the model's server refuses if nothing was
        drafted.
        """
        tools = self._toolbox.tools()
        session = self._workspace.sandbox.open(tools)
        idle = lost = 0
        try:
            for number in range(1, self._workspace.max_turns + 1):
                asked = self._ask(number)
                if asked is None:
                    return
                turn, survived = self._turn(number, asked, session)
                self._told(turn)
                yield turn
                if self.submissions.final is not None or self.reason:
                    return
                idle = 0 if turn.code is not None else idle + 1
                if idle == _MAX_IDLE_TURNS:
                    failed = f"The model gave no reply that could be used. {self._failure}"
                    self.reason = failed if self._failure else "The model wrote no code that could be run."
                    return
                if not survived:
                    lost += 1
                    session.close()
                    if lost == _MAX_LOST_SANDBOXES:
                        self.reason = "The model's code ran out of time or memory again and again."
                        return
                    session = self._workspace.sandbox.open(tools)
            self.reason = f"No answer was submitted in {self._workspace.max_turns} cells."
        finally:
            session.close()

    def _of_last_cells(self) -> Amount:
        """What the root's own calls for two more cells may cost: its code never spends the last of a budget."""
        profile = self._workspace.profile
        prompt = min(profile.max_prompt_tokens, estimated_tokens(self._instructions + self._opening) + _TURNS_TOKENS)
        reading, writing = _LAST_CELLS * prompt, _LAST_CELLS * profile.max_output_tokens
        dollars = profile.price.of(reading, writing) if profile.price is not None else Decimal(0)
        return Amount(_LAST_CELLS, reading, writing, dollars)

    def _ask(self, number: int) -> str | None:
        """The root's next reply; None where the run must end. One that failed in a way that may pass is empty, and
        why is the `_failure`."""
        if self._cancelled():
            raise RunCancelledError("The run was cancelled.")
        profile = self._workspace.profile
        call = SubCall(
            self._instructions,
            self._prompt(going_on(self._warnings(), number, self._workspace.max_turns)),
            profile.max_output_tokens,
            purpose=ROOT,
        )
        (reply,) = self._own.run([call], cancelled=self._cancelled)
        self._failure = reply.detail if isinstance(reply, SubFailure) else ""
        if not isinstance(reply, SubFailure):
            return reply.text
        if reply.code in _MENDABLE:
            self._trim(_TRIMMED_SHARE)
            return ""
        if reply.code != BudgetExhaustedError.code and self.answer is None:
            raise raised(reply)
        self.reason = reply.detail
        return None

    def _warnings(self) -> list[str]:
        """What share of the whole run's limits is spent, in each of its parts.

        By the run's own count and not by its budget, which begins with what was spent before where a run is resumed: it
        has to ask the same again.
        """
        if self._budget is None:
            return []
        budget, kept, warnings = self._budget.root, self._budget.kept_back, list[str]()
        for name, spent in self._spent(budget).items():
            limit = getattr(budget.limits, name)
            share = float(spent) / float(limit) if limit else 0.0
            if share and limit - spent <= getattr(kept, name, 0):
                warnings.append(f"what is left of the {_WARNED[name]} is kept for your cells: sub-calls are over.")
            elif share >= _WARNING_SHARES[0]:
                passed = max(each for each in _WARNING_SHARES if each <= share)
                warnings.append(f"over {passed:.0%} of the {_WARNED[name]} are spent.")
        return warnings

    def _spent(self, budget: Budget) -> dict[str, float | Decimal]:
        usage, price = self._workspace.before + self.usage, self._workspace.profile.price
        spent: dict[str, float | Decimal] = dict(vars(usage))
        if price is not None:
            spent["dollars"] = price.of(usage.prompt_tokens, usage.completion_tokens)
        if self._workspace.tells_time:
            spent["seconds"] = budget.elapsed_seconds
        return spent

    def _turn(self, number: int, reply: str, session: Session) -> tuple[Turn, bool]:
        """Runs a reply's code; false when the sandbox and its variables are gone."""
        read = RootReply(None, FAILED.format(self._failure)) if self._failure else read_root_reply(reply)
        cell_, survived = Cell("", 0, None, 0.0), True
        if read.code is not None:
            self._toolbox.begin_cell()
            cell_, survived = self._run_cell(read.code, session)
            notes = self._toolbox.notes()
            if survived:  # how far another came is not the same in each attempt
                cell_ = replace(cell_, output=_with_notes(cell_.output, notes))
        shown = "\n".join(part.rstrip() for part in (cell_.output, cell_.error or "", read.note) if part.strip())
        self._turns.append(cell(number, read.code, shown))
        self._trim_to_window()
        count, made = self._subcalls.taken()
        turn = Turn(
            number=number,
            depth=self._workspace.depth,
            part=self._workspace.part,
            code=read.code,
            note=read.note,
            output=cell_.output,
            error=cell_.error,
            seconds=cell_.seconds,
            subcalls=count,
            made=made,
        )
        return turn, survived

    def _run_cell(self, code: str, session: Session) -> tuple[Cell, bool]:
        """What the cell gave, or why nothing; when the budget ended in it, that is the run's `reason`."""
        try:
            return session.run(code, cancelled=lambda: self._cancelled() or self._time.ended()), True
        except SandboxLostError as error:
            said = f"{error.detail} {error.hint or ''} The session was started anew: variables are gone."
        except BudgetExhaustedError as error:
            said = self.reason = error.detail
        except RunCancelledError:
            if self._cancelled() or not self._time.ended():
                raise
            said = self.reason = TIME_IS_OVER
        return Cell("", 0, said, 0.0), False

    def _prompt(self, end: str) -> str:
        trimmed = left_out(self._left_out) if self._left_out else ""
        return self._opening + trimmed + "".join(self._turns) + end

    @property
    def _room_for_turns(self) -> int:
        """Tokens of the longest prompt that the instructions and the opening leave."""
        return self._workspace.profile.max_prompt_tokens - estimated_tokens(self._instructions + self._opening)

    def _trim_to_window(self) -> None:
        if estimated_tokens("".join(self._turns)) > _HISTORY_SHARE * self._room_for_turns:
            self._trim(_TRIMMED_SHARE)

    def _trim(self, share: float) -> None:
        """Leaves out the oldest turns; of the last one, the middle, if it alone is too long."""
        room = share * max(0, self._room_for_turns)
        while len(self._turns) > 1 and estimated_tokens("".join(self._turns)) > room:
            self._turns.pop(0)
            self._left_out += 1
        if self._turns and estimated_tokens(self._turns[0]) > room:
            last, kept = self._turns[0], max(200, int(room))
            self._turns[0] = f"{last[: kept // 2]}\n… [cut] …\n{last[-kept // 2 :]}"

    def _may_descend(self) -> bool:
        workspace = self._workspace
        return workspace.depth < workspace.profile.max_depth and workspace.budget is not None and bool(workspace.bind)

    def _descend(self, question: str, corpus: Corpus) -> Mapping[str, Any]:
        """A run of its own over a part, with a session of its own and what is left of the budget."""
        workspace = self._workspace
        assert self._budget is not None
        assert workspace.bind is not None
        budget = self._budget.child()
        self._parts += 1
        below = replace(
            workspace,
            corpus=corpus,
            subcalls=workspace.bind(budget),
            budget=budget,
            depth=workspace.depth + 1,
            part=f"{workspace.part}.{self._parts}".removeprefix("."),
            before=workspace.before + self.usage,
        )
        child = RecursiveRun(below, question, cancelled=self._cancelled, told=self._told)
        try:
            for _ in child.turns():
                pass
        finally:
            self._children += child.usage
        self.opened.adopt(child.opened, len(corpus.documents) + 1_000)
        found = child.answer
        if found is None or found.value is None:
            return {"answer": None, "evidence": [], "status": child.reason or "not found"}
        self.submissions.keep_part(question, found)
        evidence = [
            {**plain(_span(located)), "quote": located.text} for claim in found.claims for located in claim.evidence
        ]
        status = "answered" if found.supported and child.submissions.final else "partial"
        return {"answer": as_text(found.value), "evidence": evidence, "status": status}


def _with_notes(output: str, notes: Sequence[str]) -> str:
    """What a cell gave, with what its tools have to say about what they returned."""
    shown = [f"Note: {note}" for note in notes[:_MAX_NOTES]]
    if len(notes) > _MAX_NOTES:
        shown.append(f"Note: and {len(notes) - _MAX_NOTES} more such notes.")
    return "\n".join(part for part in (output.rstrip(), *shown) if part) if shown else output


def _span(located: Located) -> Handle:
    passage = located.source.passage
    return Handle(passage.document_id, passage.version_id, passage.start + located.start, passage.start + located.end)
