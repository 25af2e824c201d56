"""A description in the words that a document may have: a model guesses what each of its things is called.

"A vessel whose figurehead is a woman with the tail of a fish" shares no word with its sentence, and for a bi-encoder
little else; "a vessel whose figurehead is a mermaid" does (a rewriting of the query as in Gao et al., ACL 2023). A
guess need not be right to lead near. What it brings is in `DECISIONS.md`.
"""

import re
from collections.abc import Callable

from rlm.answers import Usage
from rlm.chains.parts import things
from rlm.prompts import without_template_tokens
from rlm.subcalls.port import SubCall, SubCalls, SubReply

_SYSTEM = "You solve crosswords."
_ANSWERS = "Answers:"
_EXAMPLES = f"""Clue: a place where bread is made
{_ANSWERS} bakery, bakehouse, oven

Clue: a person who mends shoes
{_ANSWERS} cobbler, shoemaker

Clue: """
_REPLY_TOKENS = 30
_ARTICLE = re.compile(r"^(?:an?|the) ", re.IGNORECASE)


def guessed(description: str, calls: SubCalls, cancelled: Callable[[], bool]) -> tuple[str | None, Usage]:
    """The description with a guess in place of each thing that it names, and what that cost; None where nothing was
    guessed.

    Raises `RunCancelledError`.
    """
    found, usage = description, Usage()
    named = things(description)
    for thing, reply in zip(named, calls.run([guess_call(each) for each in named], cancelled=cancelled), strict=True):
        usage += Usage() if isinstance(reply, SubReply) and reply.cached else reply.usage
        if isinstance(reply, SubReply) and (guess := read_guess(reply.text)):
            found = found.replace(thing, guess, 1)
    return (None if found == description else found), usage


def guess_call(thing: str) -> SubCall:
    """Asks what a thing that is described may be called."""
    return SubCall(_SYSTEM, f"{_EXAMPLES}{without_template_tokens(thing)}\n{_ANSWERS}", _REPLY_TOKENS, purpose="guess")


def read_guess(text: str) -> str:
    """The first answer, without an article; nothing where there is none. A small model repeats the clue first."""
    answers = text.rsplit(_ANSWERS, 1)[-1].strip()
    first = re.split(r"[,\n.;]", answers, maxsplit=1)[0].strip().lower()
    return "" if first.startswith("clue:") else _ARTICLE.sub("", first)
