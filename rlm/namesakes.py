"""Sentences about somebody else: "Crispin Lockhart" where "Rosamund Lockhart" is asked for.

A small model takes one for the other. Of a namesake only a name that goes on otherwise counts: "Lockhart" alone, or
with a title, may well be the one who is meant.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

_NAME = re.compile(r"[^\W\d_a-z][\w'’-]*(?: [^\W\d_a-z][\w'’-]*)*")
_TITLE_WORDS = """aunt brother captain dame doctor dr duke earl father general judge king lady lord miss mother mr mrs
    ms pope president prince princess professor queen saint sir sister st uncle"""
_TITLES = frozenset(_TITLE_WORDS.split())
_POSSESSIVE = re.compile(r"['’]s?$")


def of_a_namesake(question: str, sentence: str) -> bool:
    """Whether a name of the question stands in the sentence only in part, with another part of its own."""
    written = [name for name in _names(sentence) if name]
    for asked in _names(question):
        if len(asked) < 2 or any(asked <= name for name in written):
            continue
        if any(name & asked and name - asked for name in written):
            return True
    return False


def full_name(question: str) -> str | None:
    """The one name of two words or more that a question has, without titles; None where it has none, or several."""
    found = [text for text, _, _ in _full_names(question)]
    return found[0] if len(found) == 1 else None


def without_name(question: str, name: str) -> str:
    """What is asked, of nobody."""
    return " ".join(question.replace(name, "").split())


def renamed(sentence: str, name: str) -> str | None:
    """A sentence about somebody else with `name` in the other's place; None where it may be about who has the name, or
    has no full name at all."""
    asked = _parts(name.split())
    written = list(_full_names(sentence))
    alone = _parts(each for each in _without(sentence, written).split() if each[0].isupper())
    if not written or any(asked <= _parts(text.split()) for text, _, _ in written) or asked & alone:
        return None
    _, start, end = max(written, key=lambda each: bool(asked & _parts(each[0].split())))
    return sentence[:start] + name + sentence[end:]


def in_full(sentence: str, name: str) -> str:
    """A sentence that has `name` only in part with the whole of it there: "Twigg held" becomes "Graham Twigg held"."""
    asked = _parts(name.split())
    if name in sentence:
        return sentence
    for match in _NAME.finditer(sentence):
        mine = [match.start() + each.start() for each in re.finditer(r"\S+", match[0]) if _parts([each[0]])]
        if mine and _parts(match[0].split()) <= asked:
            return sentence[: mine[0]] + name + sentence[match.end() - _ending(match[0]) :]
    return sentence


def _full_names(text: str) -> Iterator[tuple[str, int, int]]:
    """Each run of two capitalised words or more, and where it stands, without titles and a possessive ending. What
    opens a question, or a longer run, is no part of it."""
    for match in _NAME.finditer(text):
        start, end = match.span()
        said = [(each[0], start + each.start()) for each in re.finditer(r"\S+", match[0])]
        opens = not text[:start].strip() or text[:start].rstrip()[-1:] in ".!?"
        if opens and (len(said) > 2 or text.rstrip().endswith("?")):
            said = said[1:]
        while said and said[0][0].casefold() in _TITLES:
            said = said[1:]
        if len(said) > 1:
            end -= _ending(match[0])
            yield text[said[0][1] : end], said[0][1], end


def _ending(name: str) -> int:
    """The length of a possessive ending."""
    return len(name) - len(_POSSESSIVE.sub("", name))


def _without(text: str, names: Sequence[tuple[str, int, int]]) -> str:
    for _, start, end in reversed(names):
        text = text[:start] + text[end:]
    return text


def _parts(said: Iterable[str]) -> frozenset[str]:
    parts = (_POSSESSIVE.sub("", word.strip(',;:.!?"“”()')).casefold() for word in said)
    return frozenset(part for part in parts if part and part not in _TITLES)


def _names(text: str) -> Iterator[frozenset[str]]:
    """The words of each run of capitalised words, without titles.

    The word that opens a sentence is left out of a longer run than two: "Before Thaddeus Nightingale".
    """
    for match in _NAME.finditer(text):
        said = match[0].split()
        opens = not text[: match.start()].strip() or text[: match.start()].rstrip()[-1:] in ".!?"
        rest = said[1:] if opens and len(said) != 2 else said
        yield _parts(rest)
