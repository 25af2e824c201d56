"""How right an answer is, in [0, 1], by the form of its question. No model judges.

An answer that names several values where one was asked for scores 0, whichever of them is right: the scorers read what
stands after the form that was asked for ("Label: …") if the answer has it, and the whole answer if not, and count the
distinct values named there. Two such lines that differ name two values.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable

from tests.benchmark.tasks.folder import Form, Question

# OOLONG: partial credit for a number that is off by a little.
_CREDIT_PER_UNIT = 0.75
# An answer of more words than this quotes at length and leaves the choice to the reader.
_LONGEST_TEXT_WORDS = 60

_MARKER = re.compile(r" ?\[\d{1,3}\]")
_WORD = re.compile(r"\w+(?:['.]\w+)*")
_ARTICLES = frozenset({"a", "an", "the"})
_DECLINES = re.compile(
    r"\b(?:do|does|did) not (?:say|answer|state|mention|contain|specify|tell|provide|give|hold|include)\b"
    r"|\b(?:don't|doesn't|didn't) (?:say|answer|state|mention|contain|specify|tell|provide|give|include)\b"
    r"|\b(?:is|are|was|were|be|been) (?:not|nowhere|never) (?:\w+ )?"
    r"(?:mentioned|specified|stated|provided|given|found|available|known|answered|recorded|included)\b"
    r"|\b(?:cannot|could not|can't|couldn't) (?:be )?(?:\w+ )?(?:find|found|answer|answered|determine|determined|say)\b"
    r"|\bno (?:answer|information|mention|record|evidence)\b|\bunanswerable\b|\bnot (?:in|among) the(?:se)? documents\b"
    r"|^\W*(?:unknown|none|n/a|nothing|not (?:found|stated|mentioned|specified|given|known|available|there))\W*$",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\w])|(?<![\w.])-?\d+(?:\.\d+)?(?!\w)")
_USER = re.compile(r"(?<!\d)\d{5}(?!\d)")
_PAIR = re.compile(r"(?<!\d)(\d{5})\s*[,;/&–-]\s*(\d{5})(?!\d)")
_VERDICTS = {
    "more": re.compile(r"\bmore (?:common|frequent|often)\b|\bmore than\b", re.IGNORECASE),
    "less": re.compile(r"\bless (?:common|frequent|often)\b|\b(?:less|fewer) than\b", re.IGNORECASE),
    "same": re.compile(
        r"\bsame (?:frequency|number|count)\b|\b(?:as|equally) (?:common|frequent|often)\b", re.IGNORECASE
    ),
}
_MIRRORED = {"more": "less", "less": "more", "same": "same"}


def score(question: Question, answer: str, *, declined: bool | None = None) -> float:
    """`declined` is whether the answerer says that the documents do not tell; None reads that from the text."""
    answer = _MARKER.sub("", answer)
    declined = declines(answer) if declined is None else declined
    if declined or not question.answerable:
        return float(declined and not question.answerable)
    return _SCORERS[question.form](question, answer)


def declines(answer: str) -> bool:
    """Whether the first sentence says that there is no answer."""
    return bool(_DECLINES.search(re.split(r"(?<=[.!?])\s", answer.strip(), maxsplit=1)[0]))


def normalized(text: str) -> tuple[str, ...]:
    """The words of a text without case, punctuation and articles."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return tuple(word for word in _WORD.findall(folded) if word not in _ARTICLES)


def named(values: Iterable[str], text: str) -> set[str]:
    """Which of `values` stand in `text` as whole words; one inside a longer one that stands there does not count."""
    words = list(normalized(text))
    found: set[str] = set()
    for value in sorted(values, key=lambda each: -len(normalized(each))):
        wanted = normalized(value)
        starts = [at for at in range(len(words) - len(wanted) + 1) if tuple(words[at : at + len(wanted)]) == wanted]
        for at in starts if wanted else ():
            found.add(value)
            words[at : at + len(wanted)] = ["\0"] * len(wanted)
    return found


def f1(found: Collection[object], gold: Collection[object]) -> float:
    """Harmonic mean of precision and recall of two sets."""
    right = len(set(found) & set(gold))
    return 2 * right / (len(set(found)) + len(set(gold))) if right else 0.0


def _text(question: Question, answer: str) -> float:
    """Right when it names a wording of the gold and no other choice."""
    said = _after("Answer", answer)
    if len(said.split()) > _LONGEST_TEXT_WORDS or not named(question.gold, said):
        return 0.0
    others = {choice for choice in question.choices if normalized(choice) not in map(normalized, question.gold)}
    return float(not named({*others, *question.gold}, said) & others)


def _label(question: Question, answer: str) -> float:
    return float(named(question.choices, _after("Label", answer)) == set(question.gold))


def _user(question: Question, answer: str) -> float:
    return float(set(_USER.findall(_after("User", answer))) == set(question.gold))


def _number(question: Question, answer: str) -> float:
    numbers = {float(number.replace(",", "")) for number in _NUMBER.findall(_after("Answer", answer))}
    if len(numbers) != 1:
        return 0.0
    return float(_CREDIT_PER_UNIT ** abs(numbers.pop() - float(question.gold[0])))


def _comparison(question: Question, answer: str) -> float:
    """`more` is of the first side; a sentence that begins with the second side means the mirrored verdict."""
    said = _after("Answer", answer)
    verdicts = {verdict for verdict, pattern in _VERDICTS.items() if pattern.search(said)}
    if len(verdicts) != 1:
        return 0.0
    one, other = (said.casefold().find(_bare(side)) for side in question.choices)
    verdict = verdicts.pop()
    return float((_MIRRORED[verdict] if 0 <= other < one or one < 0 <= other else verdict) == question.gold[0])


def _pairs(question: Question, answer: str) -> float:
    found = {",".join(sorted(pair)) for pair in _PAIR.findall(answer) if pair[0] != pair[1]}
    return f1(found, question.gold)


_SCORERS: dict[Form, Callable[[Question, str], float]] = {
    Form.TEXT: _text,
    Form.LABEL: _label,
    Form.USER: _user,
    Form.NUMBER: _number,
    Form.COMPARISON: _comparison,
    Form.PAIRS: _pairs,
}


def _after(form: str, answer: str) -> str:
    """What stands after each `Form:`, on its line or the next that has anything; the whole answer where none does."""
    lines = re.findall(rf"\b{form}\W{{0,3}}:[\s*_]*(\w?.*)", answer, re.IGNORECASE)
    lines = [line for line in lines if re.search(r"\w", line)]
    return "\n".join(lines) if lines else answer


def _bare(side: str) -> str:
    """A side of a comparison as an answer would name it: `label 'location'` is `location`."""
    quoted = re.search(r"'([^']+)'", side)
    return (quoted[1] if quoted else side.removeprefix("user ")).casefold()
