"""Typed answers with evidence: quotations are located, claims judged, and what is wrong goes back to be mended."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from rlm.answerability import weigh
from rlm.corpus.cancelling import unless_cancelled
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.operators.prompts import one_line
from rlm.quotes import QuotedText, Span, locate_exactly
from rlm.recursive.computed import ComputedValues
from rlm.recursive.spans import OpenedSpans, parse_handle
from rlm.replies import without_markers
from rlm.sandbox.port import ToolError
from rlm.strategies import never
from rlm.support import Support, asks_yes_or_no, judge_verdict
from rlm.verification import Judged, Located, judged_claims, statements
from rlm.words import words

MAX_ANSWER_CHARS = 20_000
MAX_STATEMENTS = 200
# Answers without support that are sent back; the next one ends the run.
_MAX_DOUBTS = 3
_MAX_EVIDENCE = 50
_MAX_QUOTE_CHARS = 3_000
_AROUND_CHARS = 400
_SPANS_LOOKED_AT = 200
_DOCUMENT_CHARS = 2_000_000
# Of all that a run has opened, for one quotation of which nobody says where it stands.
_SEARCHED_CHARS = 20_000_000
# Of one hand-in, for all its quotations that do not stand there letter by letter.
_FOLDED_CHARS = 6_000_000
_HOW = (
    'evidence is a list of {"document": …, "start": …, "end": …, "quote": "words copied from it"}, or of quotes alone'
)
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
        self, question: str, corpus: Corpus, opened: OpenedSpans, *, cancelled: Callable[[], bool] = never
    ) -> None:
        """What is handed in is looked for in the documents, which takes a while: `RunCancelledError` ends it."""
        self._question = question
        self._corpus = corpus
        self._opened = opened
        self._cancelled = cancelled
        self._doubted: set[str] = set()
        self._folded: dict[Handle, QuotedText] = {}
        self._cut_off = False
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
        located = self._located(evidence)
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
                "an answer needs evidence. " + _HOW + ". Say computed=True for what your code counted or computed, "
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

    def _located(self, evidence: object) -> tuple[Located, ...]:
        if evidence is None:
            return ()
        if isinstance(evidence, str | Mapping):
            evidence = [evidence]
        if not isinstance(evidence, list | tuple) or len(evidence) > _MAX_EVIDENCE:
            raise ToolError(f"{_HOW}; {_MAX_EVIDENCE} at most")
        found, missing = [], []
        self._folded, self._cut_off = {}, False
        for each in evidence:
            quote, span = self._find(each)
            if span is None:
                missing.append(quote)
            else:
                found.append(self._cited(span))
        self._folded = {}
        if missing:
            where = (
                "were not found in as much text as is looked at" if self._cut_off else "stand nowhere in what you read"
            )
            raise ToolError(
                f"these quotes {where}: {[each[:120] for each in missing[:5]]}. "
                "Copy the words exactly as read() returns them, and say where: document, start and end"
            )
        return tuple(found)

    def _find(self, evidence: object) -> tuple[str, Handle | None]:
        """The quotation, and where it stands."""
        if isinstance(evidence, str):
            _require_short(evidence)
            return evidence, self._among(evidence, self._anywhere())
        if not isinstance(evidence, Mapping):
            raise ToolError(_HOW)
        handle = parse_handle(evidence, self._corpus)
        quote = evidence.get("quote", evidence.get("text"))
        if quote is None:
            if len(handle) > _MAX_QUOTE_CHARS:
                raise ToolError(
                    f'a handle of {len(handle):,} characters is no quotation: add the words to it as "quote"'
                )
            return self._corpus.text(handle), handle if len(handle) else None
        if not isinstance(quote, str):
            raise ToolError("a quote is a text")
        _require_short(quote)
        return quote, self._among(quote, self._around(handle))

    def _among(self, quote: str, spans: Iterator[Handle]) -> Handle | None:
        """Where it stands as it is, or else but for how it is typed, which is looked for in so much text only."""
        places = list(dict.fromkeys(spans))
        for find in (self._exactly, self._folded_in):
            for span in unless_cancelled(places, self._cancelled):
                at = find(quote, span)
                if at is not None:
                    return span[at[0] : at[1]]
        return None

    def _exactly(self, quote: str, span: Handle) -> Span | None:
        return locate_exactly(quote, self._corpus.text(span))

    def _folded_in(self, quote: str, span: Handle) -> Span | None:
        """Each text is folded once for all quotations of a hand-in, and so much of it in all."""
        if span not in self._folded:
            if sum(map(len, self._folded)) + len(span) > _FOLDED_CHARS:
                self._cut_off = True
                return None
            self._folded[span] = QuotedText(self._corpus.text(span))
        return self._folded[span].locate(quote)

    def _around(self, handle: Handle) -> Iterator[Handle]:
        document = self._corpus.document(handle).handle
        yield handle
        yield document[max(0, handle.start - 2_000) : handle.end + 2_000]
        if len(document) <= _DOCUMENT_CHARS:
            yield document

    def _anywhere(self) -> Iterator[Handle]:
        yield from self._opened.latest_read(_SPANS_LOOKED_AT)
        yield from self._opened.latest(_SPANS_LOOKED_AT)
        room = _SEARCHED_CHARS
        for span in self._opened.merged():
            room -= len(span)
            if room < 0:
                self._cut_off = True
                return
            yield span
        if self._corpus.size.characters <= _DOCUMENT_CHARS:
            yield from (document.handle for document in self._corpus.documents)

    def _cited(self, span: Handle) -> Located:
        """With what stands around it, by which its support is judged."""
        passage = self._corpus.passage(span, around=_AROUND_CHARS)
        weighed = weigh(self._question, [passage])[0]
        return Located(weighed, span.start - passage.start, span.end - passage.start)


def _require_short(quote: str) -> None:
    if len(quote) > _MAX_QUOTE_CHARS:
        raise ToolError(
            f"a quote has {len(quote):,} characters, and the limit is {_MAX_QUOTE_CHARS:,}: quote the sentences that "
            "say it"
        )


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
