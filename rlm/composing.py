"""The text of an answer: claims with their markers, what could not be confirmed, and what was searched in vain."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rlm.answers import AnswerStatus, Citation, CitationList, Claim, Searched
from rlm.verification import Judged, Located

_TITLES_SHOWN = 5
_TITLE_CHARS = 80


@dataclass(frozen=True)
class Composed:
    """An answer's text in `parts` that may be sent one by one, and what its markers stand for."""

    status: AnswerStatus
    parts: tuple[str, ...]
    claims: tuple[Claim, ...]
    citations: tuple[Citation, ...]
    finished: bool = True

    @property
    def text(self) -> str:
        return "".join(self.parts)


def compose(judged: Sequence[Judged]) -> Composed:
    """Each claim followed by its markers; one that is not supported says so.

    When no claim is supported, the quotations follow in the document's own words, for they are what is certain.
    """
    citations = CitationList()
    claims = [_claim(each, citations) for each in judged]
    parts = [_marked(claim) + ("" if claim.supported else f" (not confirmed: {claim.reason})") for claim in claims]
    lines = [each.opens_line for each in judged]
    if not any(claim.supported for claim in claims):
        evidence = dict.fromkeys(located for each in judged for located in each.evidence)
        quoted = [_quoted(located, citations) for located in evidence]
        claims += quoted
        parts += [f"The document says: {_quotation(claim)}" for claim in quoted]
        lines += [False] * len(quoted)
    status = AnswerStatus.ANSWERED if all(claim.supported for claim in claims) else AnswerStatus.PARTIAL
    apart = ["\n" if opens_line else " " for opens_line in lines[1:]]
    spaced = [*parts[:1], *(space + part for space, part in zip(apart, parts[1:], strict=True))]
    return Composed(status, tuple(spaced), tuple(claims), citations.citations)


def not_found(searched: Searched) -> Composed:
    """Says that the documents do not answer, and what was searched."""
    return Composed(AnswerStatus.NOT_FOUND, ("These documents do not answer the question. ", _scope(searched)), (), ())


def unfinished(found: Composed, reason: str) -> Composed:
    """What was found before something ended the search for more, with the reason; partial, whatever it is."""
    if found.status is AnswerStatus.NOT_FOUND:
        said = ("No answer was found before the end. ", reason)
        return Composed(AnswerStatus.PARTIAL, said, (), (), finished=False)
    parts = (*found.parts, f" (Not finished: {reason})")
    return replace(found, status=AnswerStatus.PARTIAL, parts=parts, finished=False)


def extracts(sentences: Sequence[Located], heading: str) -> Composed:
    """Sentences of the documents, best first, as they stand there; `heading` says what they are."""
    citations = CitationList()
    claims = tuple(_quoted(sentence, citations) for sentence in sentences)
    parts = (heading, *(f"\n\n{_quotation(claim)}" for claim in claims))
    return Composed(AnswerStatus.EXTRACTIVE, parts, claims, citations.citations)


def _claim(judged: Judged, citations: CitationList) -> Claim:
    numbers = tuple(_cite(located, citations) for located in judged.evidence)
    return Claim(_one_line(judged.text), numbers, judged.support.supported, judged.support.reason)


def _quoted(located: Located, citations: CitationList) -> Claim:
    return Claim(_one_line(located.text), (_cite(located, citations),), supported=True)


def _cite(located: Located, citations: CitationList) -> int:
    return citations.cite(located.source.passage, located.start, located.end)


def _marked(claim: Claim) -> str:
    """The claim followed by its markers: `308 points [1][2]`."""
    return f"{claim.text} {_markers(claim)}"


def _quotation(claim: Claim) -> str:
    return f"“{claim.text}” {_markers(claim)}"


def _markers(claim: Claim) -> str:
    return "".join(f"[{number}]" for number in claim.citations)


def _scope(searched: Searched) -> str:
    if not searched.passages:
        return "No passage was found in them."
    titles = [document.title[:_TITLE_CHARS] for document in searched.documents]
    shown = ", ".join(titles[:_TITLES_SHOWN])
    rest = len(titles) - _TITLES_SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return f"Searched: {_count(searched.passages, 'passage')} of {_count(len(titles), 'document')} ({shown}{more})."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
