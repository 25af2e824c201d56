"""Typed answers with evidence: quotations are located, claims judged, and what is wrong goes back to be mended."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from rlm.answerability import weigh
from rlm.corpus.cancelling import unless_cancelled
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.quotes import locate, locate_exactly
from rlm.recursive.computed import ComputedValues
from rlm.recursive.spans import OpenedSpans, parse_handle
from rlm.replies import Quotation, Reply
from rlm.sandbox.port import ToolError
from rlm.strategies import never
from rlm.support import Support
from rlm.verification import Judged, Located, verify

MAX_ANSWER_CHARS = 20_000
_MAX_EVIDENCE = 50
_QUOTE_CHARS = 600
_MAX_QUOTE_CHARS = 3_000
_AROUND_CHARS = 400
_SPANS_LOOKED_AT = 200
_DOCUMENT_CHARS = 2_000_000
# Of one hand-in, in all its quotations that do not stand there letter by letter.
_FOLDED_CHARS = 6_000_000
_HOW = (
    'evidence is a list of {"document": …, "start": …, "end": …, "quote": "words copied from it"}, or of quotes alone'
)
_NO_VALUE = (
    "{!r} is nothing that code computes: it stands in no document that you went through, and is no label. Submit the "
    "value alone (a number, a date, a label, names from records, or a list or dict of them), or leave computed out and "
    "give evidence that says it. Submitted again as it is, it will be marked as not confirmed"
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
    def rank(self) -> tuple[bool, bool, bool, int]:
        """Better answers rank higher; of a part's, only one that is supported is better than a doubtful one."""
        return self.value is not None, self.supported, not self.part, len(self.claims)


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
        self._doubted = False
        self._left_to_fold = 0
        self.values = ComputedValues(question, corpus, opened, cancelled=cancelled)
        self.final: Submitted | None = None
        self.draft: Submitted | None = None

    def submit(self, answer: object, evidence: object, computed: object) -> str:
        """Ends a run. Raises `ToolError` for a wrong shape, a quotation not found, and once for no support."""
        made = self._made(answer, evidence, computed)
        self._keep(made)
        if not made.supported and made.value is not None and not self._doubted:
            self._doubted = True
            if made.repair:
                raise ToolError(made.repair)
            reasons = "; ".join(dict.fromkeys(claim.support.reason for claim in made.claims if claim.support.reason))
            raise ToolError(
                f"the evidence does not bear the answer out ({reasons or 'no claim is supported'}). Quote the "
                "sentences that say it, mend the answer, or submit again as it is: it will be marked as not confirmed"
            )
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
        text = as_text(answer)
        if type(computed) is not bool:
            raise ToolError("computed is True or False")
        located = self._located(evidence)
        if answer is None:
            return Submitted(None, ())
        stranger = self.values.stranger(answer) if computed else None
        if computed and stranger is None:
            missing = self._opened.missing
            return Submitted(answer, (Judged(text, located, Support(not missing, 1.0, missing)),), computed=True)
        if stranger is not None and not located:
            unfounded = Judged(text, (), Support(False, 0.0, "it is said to be computed, and is no computed value"))
            return Submitted(answer, (unfounded,), repair=_NO_VALUE.format(stranger[:100]))
        if not located:
            raise ToolError(
                "an answer needs evidence. " + _HOW + ". Say computed=True for what your code counted or computed, "
                "and submit(None) when the documents do not say"
            )
        return self._verified(answer, text, located)

    def _verified(self, answer: object, text: str, located: tuple[Located, ...]) -> Submitted:
        sources = list(dict.fromkeys(each.source for each in located))
        quotations = tuple(Quotation(each.text, sources.index(each.source) + 1) for each in located)
        finding = verify(self._question, Reply(quotations, text), sources, sources)
        claims = finding.claims or (Judged(text, located, Support(False, 0.0, "the quotations do not say so")),)
        return Submitted(answer, _with_all(claims, located))

    def _located(self, evidence: object) -> tuple[Located, ...]:
        if evidence is None:
            return ()
        if isinstance(evidence, str | Mapping):
            evidence = [evidence]
        if not isinstance(evidence, list | tuple) or len(evidence) > _MAX_EVIDENCE:
            raise ToolError(f"{_HOW}; {_MAX_EVIDENCE} at most")
        found, missing = [], []
        self._left_to_fold = _FOLDED_CHARS
        for each in evidence:
            quote, span = self._find(each)
            if span is None:
                missing.append(quote)
            else:
                found.append(self._cited(span))
        if missing:
            raise ToolError(
                f"these quotes stand nowhere in what you read: {[each[:120] for each in missing[:5]]}. "
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
            shown = handle[:_QUOTE_CHARS]
            return self._corpus.text(shown), shown if len(shown) else None
        if not isinstance(quote, str):
            raise ToolError("a quote is a text")
        _require_short(quote)
        return quote, self._among(quote, self._around(handle))

    def _among(self, quote: str, spans: Iterator[Handle]) -> Handle | None:
        """Where it stands as it is, or else but for how it is typed, which is looked for in so much text only."""
        places = list(dict.fromkeys(spans))
        for find in (locate_exactly, locate):
            for span in unless_cancelled(places, self._cancelled):
                if find is locate:
                    self._left_to_fold -= len(span)
                    if self._left_to_fold < 0:
                        return None
                at = find(quote, self._corpus.text(span))
                if at is not None:
                    return span[at[0] : at[1]]
        return None

    def _around(self, handle: Handle) -> Iterator[Handle]:
        document = self._corpus.document(handle).handle
        yield handle
        yield document[max(0, handle.start - 2_000) : handle.end + 2_000]
        if len(document) <= _DOCUMENT_CHARS:
            yield document

    def _anywhere(self) -> Iterator[Handle]:
        yield from self._opened.latest_read(_SPANS_LOOKED_AT)
        yield from self._opened.latest(_SPANS_LOOKED_AT)
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
    judged_by = {each.text for claim in claims for each in claim.evidence}
    others = tuple(each for each in evidence if each.text not in judged_by)
    last = claims[-1]
    return (*claims[:-1], replace(last, evidence=last.evidence + others))


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
