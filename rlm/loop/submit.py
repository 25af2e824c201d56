"""Accepts the answers submitted by a run's code: text whose markers refer to evidence, or a structured value.

The format of an answer is checked here, so that the model can correct it: markers must refer to entries, and quotes
must occur in the documents. A judge later checks whether the evidence supports the answer. No answer is rejected for
lack of support.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten

from ingest.storage.remarks import Remark
from rlm.answers import Result, convert_to_json_value
from rlm.checking.markers import MarkedText, list_sentence_spans, merge_full_stops, remove_markers
from rlm.corpus.corpus import Corpus
from rlm.errors import not_cancelled
from rlm.loop.evidence import MAX_EVIDENCE, EvidenceEntry, EvidenceFinder
from rlm.loop.literals import CellLiterals, has_number
from rlm.loop.read_log import ReadLog
from rlm.loop.replay.checker import ReplayResult
from rlm.sandbox.port import ToolError

# Maximum number of times that an answer is sent back for the same kind of formatting error. After that, the answer is
# accepted unchanged.
_MAX_SENT_BACK = 2
_NOT_FOUND_ANSWER = Remark("answer_documents_silent")
MAX_ANSWER_CHARS = 60_000
_MAX_DEPTH = 20
_MOST_SHOWN, _MOST_PARTS = 120, 3
_UNCHANGED_REASON = Remark("doubt_unchanged")
_KINDS: tuple[tuple[type, str], ...] = ((bool, "label"), (int, "number"), (float, "number"), (list, "list"))


@dataclass(frozen=True)
class Submission:
    """A submitted answer: Markdown in which the marker `[1]` refers to the first entry of `cited`, and so on.

    If the code gave no text, `text` is a remark.

    `result` is the value of a structured answer. If code `computed` the answer, `how` describes the computation, and
    `stated` contains the sentences that were not computed. `found` is false if the documents do not contain the answer.
    `remarks` are shown to users. `part` is the question of the sub-run that gave the answer, or empty for the top-level
    run. `handed_in` is the answer as passed by the code.
    """

    text: str
    cited: tuple[EvidenceEntry, ...] = ()
    result: Result | None = None
    found: bool = True
    computed: bool = False
    how: str = ""
    remarks: tuple[str, ...] = ()
    part: str = ""
    stated: frozenset[str] = frozenset()
    handed_in: object = None

    @property
    def rank(self) -> tuple[bool, bool]:
        """The sort key for drafts.

        Answers rank above other drafts, and answers of the top-level run rank highest.
        """
        return self.found, not self.part


class Submissions:
    """The answers submitted by a run's code. The best draft is used if the run ends without a submission."""

    def __init__(
        self,
        corpus: Corpus,
        log: ReadLog,
        literals: CellLiterals,
        *,
        question: str = "",
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        self._log = log
        self._question = question
        self._literals = literals
        self._finder = EvidenceFinder(corpus, log, cancelled=cancelled)
        self._sent_back: dict[str, int] = {}
        self.final: Submission | None = None
        self.best: Submission | None = None

    def submit(self, answer: object, evidence: object = None, computed: object = None, found: object = True) -> str:
        """End the run with an answer. Raises `ToolError` if the answer has the wrong format."""
        self.final = self._build_submission("submit", answer, evidence, computed, found)
        return "submitted"

    def draft(self, answer: object, evidence: object = None, computed: object = None, found: object = True) -> str:
        """Store an answer for the case that the run ends without a submission. Raises the same errors as `submit`."""
        made = self._build_submission("draft", answer, evidence, computed, found)
        self._store_draft(made)
        return "kept" if self.best is made else "a better draft is kept already"

    def store_sub_run_answer(self, question: str, submission: Submission) -> None:
        """Store the answer of a sub-run, for the case that the top-level run finds nothing better."""
        if submission.found:
            # Withdraw the claim that the answer was computed, because only the cells of the sub-run could confirm this
            # claim.
            self._store_draft(replace(submission, part=submission.part or question, computed=False, how=""))

    def apply_replay(self, replay_result: ReplayResult) -> None:
        """Withdraw the claim that the answer or some of its sentences were computed if the replay disproves it."""
        found = self.final or self.best
        if found is None or not found.computed:
            return
        sentences = {found.text[start:end] for start, end in list_sentence_spans(found.text)}
        moving = {remove_markers(each) for each in replay_result.moving}
        doubts = [
            Remark("sentence_not_computed", sentence=shorten(each, _MOST_SHOWN), why=why)
            for each, why in replay_result.numbers_in_doubt.items()
        ]
        settled = replace(
            found,
            stated=frozenset(each for each in sentences if remove_markers(each) not in moving),
            remarks=(*found.remarks, *doubts[:_MOST_PARTS]),
        )
        # guard: computed-only-if-it-moves
        if not replay_result.moving:
            doubt = Remark("not_computed", why=replay_result.reason or _UNCHANGED_REASON)
            settled = replace(found, computed=False, how="", remarks=(*found.remarks, doubt))
        if self.final is not None:
            self.final = settled
        else:
            self.best = settled

    def _store_draft(self, submission: Submission) -> None:
        if self.best is None or submission.rank >= self.best.rank:
            self.best = submission

    def _build_submission(
        self, tool_name: str, answer: object, evidence: object, computed: object, found: object
    ) -> Submission:
        if not isinstance(found, bool):
            raise ToolError("found must be True or False")
        if not (computed is None or isinstance(computed, bool | str)):
            raise ToolError("computed must be True or a string that describes how the value was computed")
        if answer is None:
            return Submission(_NOT_FOUND_ANSWER, found=False)
        if not found:
            text = _check_answer_text(answer)
            return Submission(*self._attach_evidence(text, evidence), found=False)
        result = None if isinstance(answer, str) else build_result(answer)
        text = _check_answer_text(answer if result is None else render_markdown(result.value))
        text, cited = self._attach_evidence(text, evidence, is_code_output=bool(computed) or result is not None)
        doubt = self._describe_doubt(tool_name) if computed else ""
        is_computed = bool(computed) and not doubt
        how = computed.strip() if isinstance(computed, str) and is_computed else ""
        remarks = (doubt,) if doubt else ()
        return Submission(
            text,
            cited,
            result,
            computed=is_computed,
            how=how,
            remarks=remarks,
            handed_in=answer,
        )

    def _describe_doubt(self, tool_name: str) -> str:
        """Return why the answer may not have been computed, or an empty string if there is no doubt."""
        if not self._log.has_searched_text:
            return Remark("not_computed_unread")
        numbers = self._literals.get_answer_numbers(tool_name)
        # guard: no-typed-number-in-sums
        if typed := sorted(each for each in numbers if not has_number(self._question, each)):
            why = Remark("doubt_typed", numbers=typed)
            return Remark("not_computed", why=why)
        return ""

    def _attach_evidence(
        self, text: str, evidence: object, *, is_code_output: bool = False
    ) -> tuple[str, tuple[EvidenceEntry, ...]]:
        """Return the text with its markers, and the evidence to which they refer.

        Lists of numbers in text made by code are not markers.
        """
        entries = self._finder.locate_entries(evidence)
        if is_code_output and not entries:
            return text, ()
        lost = [each for each in entries if isinstance(each, str)]
        if lost:
            self._reject_answer(
                "quotes",
                f"{'; '.join(lost[:5])}. Copy the words exactly as read() returns them, or omit the entry. "
                "If it is submitted again unchanged, the sentence counts as one without evidence",
            )
        cited = [(number, each) for number, each in enumerate(entries, start=1) if isinstance(each, EvidenceEntry)]
        renumbered = {number: new for new, (number, _) in enumerate(cited, start=1)}
        named, strange = set[int](), dict[int, None]()

        def get_number(number: int) -> int | None:
            if 0 < number <= len(entries):
                named.add(number)
                return renumbered.get(number)
            if number <= MAX_EVIDENCE:  # A greater number in brackets is not a marker but text, such as a year.
                strange[number] = None
            return number

        marked = MarkedText(get_number)
        text = marked.feed(text) + marked.close()
        if strange:
            said = ", ".join(f"[{number}]" for number in strange)
            count = f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
            self._reject_answer(
                "markers",
                f"the answer has {said}, but evidence has {count}; markers start at [1], and other numbers "
                "have no brackets",
            )
        if cited and not named:
            text = self._add_markers(text, len(cited), is_code_output=is_code_output)
        return text, tuple(each for _, each in cited)

    def _add_markers(self, text: str, entry_count: int, *, is_code_output: bool) -> str:
        """Return the text with all markers after its only sentence.

        If the text has several sentences, the model must place the markers.
        """
        markers = "".join(f"[{number}]" for number in range(1, entry_count + 1))
        if "\n" not in text and len(list_sentence_spans(text)) <= 1:
            return f"{text} {markers}"
        if not is_code_output:
            self._reject_answer(
                "placing",
                "the answer has no markers: after each sentence, write the entries of evidence that support it, "
                "such as [1], [2]",
            )
        return f"{text}\n\nEvidence: {markers}"

    def _reject_answer(self, fault: str, message: str) -> None:
        """Raise `ToolError`, unless the same kind of error has already been sent back often enough."""
        self._sent_back[fault] = self._sent_back.get(fault, 0) + 1
        if self._sent_back[fault] <= _MAX_SENT_BACK:
            raise ToolError(message)


def render_submitted_answer(answer: object) -> str:
    """Return an answer as shown to users. Raises `ToolError` if the answer is invalid."""
    return _check_answer_text(answer if isinstance(answer, str) else render_markdown(build_result(answer).value))


def _check_answer_text(answer: object) -> str:
    if not isinstance(answer, str):
        raise ToolError("with found=False the answer must be a text that says what the documents do not say, or None")
    text = merge_full_stops(answer.strip())
    if not text:
        raise ToolError("the answer is empty; if the documents do not say, call submit(None)")
    if len(text) > MAX_ANSWER_CHARS:
        raise ToolError(f"the answer has {len(text):,} characters, but the limit is {MAX_ANSWER_CHARS:,}")
    return text


def build_result(value: object) -> Result:
    """Convert a value to JSON, and determine its kind. Raises `ToolError` if JSON cannot represent the value."""
    _require_json_value(value)
    plain = convert_to_json_value(value)
    return Result(next((kind for type_, kind in _KINDS if isinstance(plain, type_)), "table"), plain)


def render_markdown(value: object) -> str:
    """Render a JSON value for display: a list of flat objects as a table, a list as a list, others in a code fence."""
    match value:
        case bool():
            return "Yes." if value else "No."
        case None | int() | float() | str():
            return _render_scalar(value)
        case list() if not value:
            return "None."
        case list() if all(isinstance(each, dict) and each and all(map(_is_scalar, each.values())) for each in value):
            return _render_table(value)
        case list() if all(map(_is_scalar, value)):
            return "\n".join(f"- {_render_scalar(each)}" for each in value)
        case dict() if value and all(map(_is_scalar, value.values())):
            return "\n".join(f"- **{_render_scalar(name)}**: {_render_scalar(each)}" for name, each in value.items())
        case _:
            return f"```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"


def _render_table(rows: Sequence[Mapping[str, object]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[_render_cell(name) for name in names], ["---"] * len(names)]
    lines += [[_render_cell(row.get(name)) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _render_cell(value: object) -> str:
    return _render_scalar(value).replace("|", "\\|")


def _render_scalar(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else " ".join(str(value).split())


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _require_json_value(value: object, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise ToolError(f"the answer is nested more than {_MAX_DEPTH} levels deep")
    match value:
        case float() if not math.isfinite(value):
            raise ToolError(f"the answer contains {value}, which is not a valid number in JSON")
        case None | bool() | int() | float() | str():
            return
        case dict():
            for name, each in value.items():
                if isinstance(name, dict | list):
                    raise ToolError("keys in the answer must be strings or numbers")
                _require_json_value(each, depth + 1)
        case list() | tuple() | set() | frozenset():
            for each in value:
                _require_json_value(each, depth + 1)
        case _:
            raise ToolError(
                "the answer must be a string or another JSON value: a number, True or False, a list, a dict"
            )
