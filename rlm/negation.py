"""Whether a text says what something is not, as far as English words tell."""

import re

_NEGATED = re.compile(
    r"\b(?:not|never|no|neither|nor|without|except\w*|exclud\w*|ignor\w*|skip\w*|omit\w*|lack\w*|missing|cannot|but|apart"
    r"|aside|besides|outside|rather|instead|opposite|other than|different from"
    r"|(?:do|does|did|is|are|was|were|has|have|had)nt)\b|n['’]t\b|\bnon-",
    re.IGNORECASE,
)


def negated(text: str) -> bool:
    """Whether a text says what something is not: a condition that is read from it may mean the opposite."""
    return _NEGATED.search(text) is not None
