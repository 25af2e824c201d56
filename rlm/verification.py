"""From what a reader said to what may be shown: quotations located, claims judged, a decision with its reasons."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from retrieval.passages import Passage
from rlm.answerability import SECOND_READING, Decision, Weighed, after_reading, question_words
from rlm.namesakes import full_name, without_name
from rlm.phrases import whole_phrase
from rlm.quotes import locate
from rlm.replies import Quotation, Reply
from rlm.sentences import sentence_around, sentence_spans, with_antecedent
from rlm.support import Support, judge
from rlm.words import coverage, words

MAX_CLAIMS = 12
# A line of Markdown above others, or one that ends with a colon.
_HEADING = re.compile(r"#{1,6} [^\n]+|\*\*[^\n*]+\*\*:?|[^\n]{1,200}:")
_MAX_DROPPED_WORDS = 4
_MIN_SHORTENED_WORDS = 6


@dataclass(frozen=True)
class Located:
    """A quotation where it stands: `source.passage.text[start:end]`."""

    source: Weighed
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.passage.text[self.start : self.end]


@dataclass(frozen=True)
class Judged:
    """A sentence of the reply, the quotations it rests on and whether they support it; `opens_line` is whether it was
    written on a line of its own."""

    text: str
    evidence: tuple[Located, ...]
    support: Support
    opens_line: bool = False


@dataclass(frozen=True)
class Finding:
    """What one reading came to. `claims` may be shown only when `decision.answerable`; `apart` is whether the sentences
    that they rest on have nothing of the question but the name that it asks about."""

    claims: tuple[Judged, ...]
    decision: Decision
    apart: bool = False

    @property
    def supported(self) -> bool:
        """Whether every claim is."""
        return bool(self.claims) and all(claim.support.supported for claim in self.claims)

    @property
    def answer(self) -> str:
        """The claims as one text."""
        return " ".join(claim.text for claim in self.claims)

    @property
    def doubtful(self) -> Weighed | None:
        """The passage of an answer that is supported, and would be shown if a second reading confirmed it."""
        return _best_source(self.claims) if self.supported and not self.decision.answerable else None

    def checked(self, confirmed: bool, by: str = SECOND_READING) -> "Finding":
        """The same after a second reading, or what stands for it, said whether the answer is right."""
        return replace(self, decision=_decide(self.claims, self.apart, confirmed, by))

    def excerpt(self, passage: Passage) -> str:
        """The sentences of a passage that the claims rest on, with what they lean on."""
        return _excerpt(self.claims, passage)

    def rests_on(self, passage: Passage, start: int, end: int) -> bool:
        """Whether every claim has evidence in that span of a passage."""
        return all(
            any(each.source.passage == passage and each.start < end and start < each.end for each in claim.evidence)
            for claim in self.claims
        )


def verify(question: str, reply: Reply, read: Sequence[Weighed], known: Sequence[Weighed]) -> Finding:
    """Locates and judges a reply to a prompt that held `read`, numbered from 1, out of all passages `known`.

    A quotation with a wrong number is looked for in the other passages. An answer whose quotations stand nowhere, or
    lack it, is itself looked for in what was read, and the sentence around it quoted instead. A claim that is cut short
    is made the whole phrase of its quotation.
    """
    evidence = _unique(_locate(quotation, read, known) for quotation in reply.quotations)
    claims = judged_claims(question, reply.answer, evidence, read)
    if reply.declines and not any(claim.support.supported for claim in claims):
        return Finding((), Decision(False, 0.0, ("The model found no answer in what it read.",)))
    apart = _apart(question, claims)
    return Finding(claims, _decide(claims, apart), apart)


def judged_claims(
    question: str,
    answer: str,
    evidence: Sequence[Located],
    read: Sequence[Weighed] = (),
    *,
    most: int = MAX_CLAIMS,
) -> tuple[Judged, ...]:
    """The first `most` sentences of an answer, judged by evidence that is located, or by what of `read` they stand in.

    A claim that is cut short is made the whole phrase of its quotation.
    """
    claims = _claims(question, answer, evidence, most)
    if not claims or not all(claim.support.supported for claim in claims):
        holding = _holding(answer, [located.source for located in evidence] or read)
        if holding is not None:
            better = _claims(question, answer, _unique([*evidence, holding]), most)
            if sum(claim.support.supported for claim in better) > sum(claim.support.supported for claim in claims):
                claims = better
    return tuple(map(_whole, claims))


def _whole(claim: Judged) -> Judged:
    if not claim.support.supported:
        return claim
    found = (whole_phrase(claim.text, located.text) for located in claim.evidence)
    return replace(claim, text=next((each for each in found if each != claim.text), claim.text))


def _decide(claims: Sequence[Judged], apart: bool, confirmed: bool | None = None, by: str = SECOND_READING) -> Decision:
    weakest = min(claims, key=lambda claim: (claim.support.supported, claim.support.share), default=None)
    support = weakest.support if weakest else None
    return after_reading(_best_source(claims), support, apart=apart, confirmed=confirmed, by=by)


def _apart(question: str, claims: Sequence[Judged]) -> bool:
    """Whether what the claims rest on has nothing of the question but the name that it asks about, nor a heading above
    it."""
    name = full_name(question)
    wanted = question_words(question if name is None else without_name(question, name))
    passages = dict.fromkeys(each.source.passage for claim in claims for each in claim.evidence)
    said = [part for each in passages for part in (each.title, *each.heading_path, _excerpt(claims, each))]
    return bool(said) and coverage(wanted, words("\n".join(said))) == 0


def _excerpt(claims: Sequence[Judged], passage: Passage) -> str:
    """The sentences of a passage that claims rest on, with what they lean on."""
    spans = [(each.start, each.end) for claim in claims for each in claim.evidence if each.source.passage == passage]
    start, end = sentence_around(passage.text, min(first for first, _ in spans), max(last for _, last in spans))
    return passage.text[slice(*with_antecedent(passage.text, start, end))]


def _best_source(claims: Sequence[Judged]) -> Weighed | None:
    cited = [located.source for claim in claims for located in claim.evidence]
    return max(cited, key=lambda source: source.score, default=None)


def _locate(quotation: Quotation, read: Sequence[Weighed], known: Sequence[Weighed]) -> Located | None:
    """Where the quotation stands, whole or else without a few words at one end."""
    given = quotation.passage
    first = [read[given - 1]] if given is not None and 1 <= given <= len(read) else []
    for text in _shortened(quotation.text):
        for source in (*first, *read, *known):
            span = locate(text, source.passage.text)
            if span is not None:
                return Located(source, *span)
    return None


def _shortened(quotation: str) -> Iterator[str]:
    """The quotation, then with up to four words fewer: models put a name for a sentence's first pronoun."""
    yield quotation
    said = quotation.split()
    for dropped in range(1, min(_MAX_DROPPED_WORDS, len(said) - _MIN_SHORTENED_WORDS) + 1):
        yield " ".join(said[dropped:])
        yield " ".join(said[:-dropped])


def _holding(answer: str, sources: Sequence[Weighed]) -> Located | None:
    """The sentence of `sources` in which the answer's own words stand."""
    for source in sources:
        span = locate(answer, source.passage.text)
        if span is not None:
            return Located(source, *sentence_around(source.passage.text, *span))
    return None


def _claims(question: str, answer: str, evidence: Sequence[Located], most: int) -> tuple[Judged, ...]:
    """The answer's sentences, each with its evidence, and with the headings above it.

    Where the reply has no answer, or one without a word that could be checked ("No."), the quotations speak for
    themselves.
    """
    said = words(answer)
    if not said.stems and not said.numbers:
        return tuple(Judged(located.text, (located,), Support(True, 1.0)) for located in evidence)
    pieces = statements(answer) if evidence else []
    judged = ((each, _judge(question, each.text, evidence)) for each in pieces[:most])
    return tuple(
        replace(claim, text=f"{each.headings}{claim.text}", opens_line=each.opens_line) for each, claim in judged
    )


@dataclass(frozen=True)
class Statement:
    """A sentence or list item, after `headings` that lead up to it, `Timeline: `, and say nothing to be confirmed."""

    text: str
    headings: str
    opens_line: bool


def statements(answer: str) -> list[Statement]:
    """What an answer says, piece by piece."""
    found: list[Statement] = []
    spans = sentence_spans(answer)
    headings, opens_line, before = "", False, 0
    for at, (start, end) in enumerate(spans, start=1):
        text = answer[start:end]
        opens_line |= "\n" in answer[before:start]
        before = end
        if at < len(spans) and _HEADING.fullmatch(text):
            headings += f"{text.strip('#*: ')}: "
            continue
        found.append(Statement(text, headings, opens_line))
        headings, opens_line = "", False
    return found


def _judge(question: str, claim: str, evidence: Sequence[Located]) -> Judged:
    """The smallest part of the evidence that supports the claim: one quotation if one does, else all of them."""
    each = [((located,), _support(question, claim, (located,))) for located in evidence]
    chosen, support = max(each, key=lambda pair: (pair[1].supported, pair[1].share))
    if not support.supported and len(evidence) > 1:
        together = _support(question, claim, evidence)
        if together.supported:
            return Judged(claim, tuple(evidence), together)
    return Judged(claim, chosen, support)


def _support(question: str, claim: str, evidence: Sequence[Located]) -> Support:
    around = [part for located in evidence for part in _surroundings(located)]
    return judge(claim, [located.text for located in evidence], around, question=question)


def _surroundings(located: Located) -> Iterator[str]:
    passage = located.source.passage
    yield from (passage.title, *passage.heading_path, passage.text)


def _unique(found: "Iterator[Located | None] | Sequence[Located | None]") -> list[Located]:
    kept: dict[tuple[str, int, int], Located] = {}
    for located in found:
        if located is not None:
            passage = located.source.passage
            kept.setdefault((passage.version_id, passage.start + located.start, passage.start + located.end), located)
    return list(kept.values())
