"""Evidence as a run's code hands it in, and where in the documents it stands."""

from collections.abc import Callable, Iterator, Mapping

from rlm.answerability import weigh
from rlm.cancelling import not_cancelled, unless_cancelled
from rlm.checking.quotes import QuotedText, Span, locate_exactly
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.loop.spans import OpenedSpans, parse_handle
from rlm.sandbox.port import ToolError
from rlm.verification import Located

_MAX_EVIDENCE = 50
_MAX_QUOTE_CHARS = 3_000
_AROUND_CHARS = 400
_SPANS_LOOKED_AT = 200
_DOCUMENT_CHARS = 2_000_000
# Of all that a run has opened, for one quotation of which nobody says where it stands.
_SEARCHED_CHARS = 20_000_000
# Of one hand-in, for all its quotations that do not stand there letter by letter.
_FOLDED_CHARS = 6_000_000
HOW = 'evidence is a list of {"document": …, "start": …, "end": …, "quote": "words copied from it"}, or of quotes alone'


class Evidence:
    """Looks for what a run's code quotes, where it says that it stands, or in what the run has opened."""

    def __init__(
        self, question: str, corpus: Corpus, opened: OpenedSpans, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> None:
        self._question = question
        self._corpus = corpus
        self._opened = opened
        self._cancelled = cancelled
        self._folded: dict[Handle, QuotedText] = {}
        self._cut_off = False

    def located(self, evidence: object) -> tuple[Located, ...]:
        """Where each quotation stands. Raises `ToolError` for a wrong shape, and for those that stand nowhere."""
        if evidence is None:
            return ()
        if isinstance(evidence, str | Mapping):
            evidence = [evidence]
        if not isinstance(evidence, list | tuple) or len(evidence) > _MAX_EVIDENCE:
            raise ToolError(f"{HOW}; {_MAX_EVIDENCE} at most")
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
            raise ToolError(HOW)
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
