"""The things that a description names: "a woman on a throne" and "a person asking for alms" of a crossing."""

import re
from collections.abc import Sequence

_PART = re.compile(
    r",? (?=(?:and|who|while) )|(?<! and)(?<! who)(?<! what) (?=(?:an?|something|someone|somebody|what) )",
    re.IGNORECASE,
)
_MOST_PARTS = 4
_THING = re.compile(r"(?:and )?((?:an?|something|someone|somebody|what) .+)", re.IGNORECASE)
_AND = "and "
_VERB_AFTER = re.compile(r" [\w'’-]+s (?:above|behind|below|beneath|beside|over|under)$")
_GOES_ON = re.compile(r" (?:of|with|on|like|by|in|at|from|for)$")
_BARE = re.compile(r"an? [\w'’-]+", re.IGNORECASE)


def parts(question: str, most: int = _MOST_PARTS) -> list[str]:
    """The question cut before each thing without an article of its own and each "and" or "who"; together they are the
    question. The first only says what kind of thing is asked for; after `most` others it is not cut."""
    starts = [match.start() for match in _PART.finditer(question)][:most]
    return [question[start:end] for start, end in zip([0, *starts], [*starts, len(question)], strict=True)]


def things(description: str) -> Sequence[str]:
    """The things without an article of their own, each with what belongs to it, as they are written."""
    found: list[str] = []
    before = ""
    pieces = [part.strip(" ,") for part in parts(description, len(description))[1:]]
    for piece, after in zip(pieces, [*pieces, ""][1:], strict=True):
        if found and before.endswith(found[-1]) and _goes_on(found[-1], piece, after):
            found[-1] += f" {piece}"
        elif thing := _THING.fullmatch(piece):
            found.append(thing[1])
        elif piece.startswith(_AND) and not _THING.fullmatch(after):
            found.append(piece.removeprefix(_AND))
        before = f"{before} {piece}"
    return [_VERB_AFTER.sub("", thing) for thing in found]


def _goes_on(thing: str, piece: str, after: str) -> bool:
    """Whether the piece is still about the thing: "a star with", "a tail", and "a man", "who turns the soil". What has
    another thing for its object is not: "who can no longer find", "a spoon"."""
    if piece.startswith("who "):
        return _BARE.fullmatch(thing) is not None and _THING.fullmatch(after) is None
    return _GOES_ON.search(thing) is not None
