"""Answers cut short: "sundial" where the document says "a bronze sundial"."""

import re

from rlm.quotes import locate

# An article or possessive and one word, before what follows. With two words between, one of them may be a verb.
_BEGINNING = re.compile(r"(?<![\w'’-])(?:an?|the|his|her|its|their|my|our|your) (?!\d)[\w-]+ $", re.IGNORECASE)


def whole_phrase(answer: str, quoted: str) -> str:
    """`answer` from the beginning of its noun phrase, as `quoted` has it where it stands; as it is where that begins
    with it, or with a name or number.

    Asked for as few words as possible, a small model leaves out the word that tells one sundial from another.
    """
    span = locate(answer, quoted)
    if span is None or not quoted[span[0]].islower():
        return answer
    beginning = _BEGINNING.search(quoted[: span[0]])
    return quoted[beginning.start() : span[1]] if beginning else answer
