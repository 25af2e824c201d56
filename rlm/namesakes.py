"""Whether a sentence is about somebody else of the name: "Crispin Lockhart" where "Rosamund Lockhart" is asked for.

A small model takes one for the other. Only a name that goes on otherwise counts: "Lockhart" alone, or with a title, may
well be the one who is meant.
"""

import re
from collections.abc import Iterator

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


def _names(text: str) -> Iterator[frozenset[str]]:
    """The words of each run of capitalised words, without titles.

    The word that opens a sentence is left out of a longer run than two: "Before Thaddeus Nightingale".
    """
    for match in _NAME.finditer(text):
        said = match[0].split()
        opens = not text[: match.start()].strip() or text[: match.start()].rstrip()[-1:] in ".!?"
        rest = said[1:] if opens and len(said) != 2 else said
        parts = (_POSSESSIVE.sub("", word).casefold() for word in rest)
        yield frozenset(part for part in parts if part not in _TITLES)
