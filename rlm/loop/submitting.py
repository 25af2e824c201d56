"""Typed answers with evidence: quotations are located, claims judged, and what is wrong goes back to be mended."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from rlm.cancelling import not_cancelled
from rlm.corpus.corpus import Corpus
from rlm.llm.replies import without_markers
from rlm.loop.computed import ComputedValues
from rlm.loop.evidence import HOW, Evidence
from rlm.loop.spans import OpenedSpans
from rlm.operators.prompts import one_line
from rlm.sandbox.port import ToolError
from rlm.support import Support, asks_yes_or_no, judge_verdict
from rlm.verification import Judged, Located, judged_claims, statements
from rlm.words import words

MAX_ANSWER_CHARS = 20_000
MAX_STATEMENTS = 200
# Answers without support that are sent back; the next one ends the run.
_MAX_DOUBTS = 3
_NO_VALUE = (
    "{!r} is nothing that code computes: it stands in no document that you went through, and is no label. Submit the "
    "value alone (a number, a date, a label, names from records, or a list or dict of them), or leave computed out and "
    "give evidence that says it. Submitted again as it is, it will be marked as not confirmed"
)
_PART = (
    "the value was computed from a part of the documents: of {}, such as {}, some text was not gone through. Go "
    "through it with count(), records() or read(), or submit again as it is: it will be marked as not confirmed"
)


@dataclass(frozen=True)
class Submitted:
    """An answer whose quotations were all located. `value` is the answer as it was given; None says "not there".

    `repair` says what would make one that is not supported better, where that is known. `part` is the question that a
    part of the run answered with it, empty where it answers the run's own.
    """

    value: object
    claims: tuple[Judged, ...]
    computed: bool = False
    repair: str = ""
    part: str = ""

    @property
    def supported(self) -> bool:
        return bool(self.claims) and all(claim.support.supported for claim in self.claims)

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        """Better answers rank higher; of a part's, only one that is supported is better than a doubtful one."""
        return self.value is not None, self.supported, not self.part


class Submissions:
    """What a run's code handed in, drafts too; the best of them answers when there is no more budget."""

    def __init__(
        self, question: str, corpus: Corpus, opened: OpenedSpans, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> None:
        """What is handed in is looked for in the documents, which takes a while: `RunCancelledError` ends it."""
        self._question = question
        self._corpus = corpus
        self._opened = opened
        self._doubted: set[str] = set()
        self._evidence = Evidence(question, corpus, opened, cancelled=cancelled)
        self.values = ComputedValues(question, corpus, opened, cancelled=cancelled)
        self.final: Submitted | None = None
        self.draft: Submitted | None = None

    def submit(self, answer: object, evidence: object, computed: object) -> str:
        """Ends a run. Raises `ToolError` for a wrong shape, a quotation not found, and for each of the first answers
        without support."""
        made = self._made(answer, evidence, computed)
        self._keep(made)
        said = as_text(answer)
        if not (made.supported or made.value is None or said in self._doubted or len(self._doubted) == _MAX_DOUBTS):
            self._doubted.add(said)
            raise ToolError(made.repair or _unsupported(made))
        self.final = made
        return "submitted"

    def keep_draft(self, answer: object, evidence: object, computed: object) -> str:
        made = self._made(answer, evidence, computed)
        self._keep(made)
        return "kept" if self.draft is made else "a better draft is kept already"

    def keep_part(self, question: str, found: Submitted) -> None:
        """What a part of the run found, for the case that the run itself finds nothing more."""
        if found.value is not None and found.supported:
            self._keep(replace(found, part=found.part or question))

    def _keep(self, made: Submitted) -> None:
        if self.draft is None or made.rank >= self.draft.rank:
            self.draft = made

    def _made(self, answer: object, evidence: object, computed: object) -> Submitted:
        if type(computed) is not bool:
            raise ToolError("computed is True or False")
        text = as_text(answer) if computed else without_markers(as_text(answer))
        located = self._evidence.located(evidence)
        if answer is None:
            return Submitted(None, ())
        stranger = self.values.stranger(answer) if computed else None
        if computed and stranger is None:
            return self._computed(answer, text, located)
        if stranger is not None and not located:
            unfounded = Judged(text, (), Support(False, 0.0, "it is said to be computed, and is no computed value"))
            return Submitted(answer, (unfounded,), repair=_NO_VALUE.format(stranger[:100]))
        if not located:
            raise ToolError(
                "an answer needs evidence. " + HOW + ". Say computed=True for what your code counted or computed, "
                "and submit(None) when the documents do not say"
            )
        verified = self._verified(answer, text, located)
        return verified if stranger is None else replace(verified, repair=_NO_VALUE.format(stranger[:100]))

    def _computed(self, answer: object, text: str, located: tuple[Located, ...]) -> Submitted:
        missing, repair = self._opened.missing, ""
        if left := self._opened.not_gone_through():
            titles = ", ".join(repr(each.title[:60]) for each in left[:3])
            repair = _PART.format(f"{len(left):,} of {len(self._corpus.documents):,}", titles)
        claim = Judged(text, located, Support(not missing, 1.0, missing))
        return Submitted(answer, (claim,), computed=True, repair=repair)

    def _verified(self, answer: object, text: str, located: tuple[Located, ...]) -> Submitted:
        if len(statements(text)) > MAX_STATEMENTS:
            raise ToolError(f"the answer has more than {MAX_STATEMENTS} sentences, and each is checked: shorten it")
        said = words(text)
        if said.stems or said.numbers:
            claims = judged_claims(self._question, text, located, most=MAX_STATEMENTS)
        else:
            claims = (Judged(text, located, self._verdict(text, located)),)
        return Submitted(answer, _with_all(claims, located))

    def _verdict(self, text: str, located: tuple[Located, ...]) -> Support:
        """Of an answer without a word that could be compared, `No.`."""
        said = text.strip(" .!").casefold()
        if said not in ("yes", "no") or not asks_yes_or_no(self._question):
            return Support(False, 0.0, "It has no word that could be compared with what it cites; say it in a sentence")
        around = [part for each in located for part in (each.source.passage.title, each.source.passage.text)]
        return judge_verdict(said == "yes", self._question, [each.text for each in located], around)


def _with_all(claims: tuple[Judged, ...], evidence: tuple[Located, ...]) -> tuple[Judged, ...]:
    """The claims, with what none of them is judged by at the last: a chain of facts is cited link by link."""
    judged_by = {_place(each) for claim in claims for each in claim.evidence}
    others = tuple(each for each in evidence if _place(each) not in judged_by)
    last = claims[-1]
    return (*claims[:-1], replace(last, evidence=last.evidence + others))


def _place(located: Located) -> tuple[str, int, int]:
    passage = located.source.passage
    return passage.version_id, passage.start + located.start, passage.start + located.end


def _unsupported(made: Submitted) -> str:
    """Which sentences are not borne out, and why."""
    failed = [claim for claim in made.claims if not claim.support.supported]
    said = "; ".join(
        f"{one_line(claim.text, 80)!r}: {claim.support.reason or 'no quotation says it'}" for claim in failed[:5]
    )
    more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
    return (
        f"the evidence does not bear out {said or 'the answer'}{more}. Quote the sentences that say it, mend the "
        "answer, or submit again as it is: it will be marked as not confirmed"
    )


def as_text(answer: object) -> str:
    """The answer as a reader sees it. Raises `ToolError` for what is no answer."""
    match answer:
        case None:
            return ""
        case bool():
            return "Yes." if answer else "No."
        case str():
            text = answer.strip()
            if not text:
                raise ToolError("the answer is empty; submit(None) says that the documents do not say")
        case int() | float():
            text = str(answer)
        case list() | tuple() | set():
            text = ", ".join(sorted(map(_part, answer)) if isinstance(answer, set) else map(_part, answer))
        case dict():
            text = "; ".join(f"{_part(key)}: {_part(value)}" for key, value in answer.items())
        case _:
            raise ToolError("the answer is a text, a number, True or False, a list, a dict, or None")
    if len(text) > MAX_ANSWER_CHARS:
        raise ToolError(f"the answer has {len(text):,} characters, and the limit is {MAX_ANSWER_CHARS:,}")
    return text


def _part(value: object) -> str:
    if isinstance(value, list | tuple):
        return "(" + ", ".join(map(_part, value)) + ")"
    if value is None or isinstance(value, str | int | float):
        return str(value)
    raise ToolError("lists and dicts of an answer hold texts and numbers")
