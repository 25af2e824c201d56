"""Whether sentences say all of a description or half of it, by how likely a model finds its parts after each."""

from collections.abc import Callable, Sequence

import numpy as np

from rlm.answers import Usage
from rlm.chains.parts import parts
from rlm.likeliest import SYSTEM, asking, told
from rlm.prompts import without_template_tokens
from rlm.subcalls.likelihoods import likelihood_call
from rlm.subcalls.port import Context, SubCall, SubCalls

# In nats: a part that is likely after any sentence tells nothing; by how much likelier it is after one that says it;
# and how far from the best it may be.
_TELLING, _LIKELIER, _AS_LIKELY = 4.0, 1.5, 2.0


def saying_all(
    question: str, sentences: Sequence[str], others: Sequence[str], calls: SubCalls, cancelled: Callable[[], bool]
) -> tuple[list[bool] | None, Usage]:
    """Whether each of `sentences` says every part of the question, and what it cost; None where nothing tells.

    "A queen and a beggar" has two parts: a sentence about a queen and a swan makes the whole likelier too, and nearly
    as much. A part is said where it is likelier than after `others`, which answer nothing, or as likely as anywhere.
    """
    pieces = parts(question)
    if len(pieces) < 2 or not others:
        return None, Usage()
    texts = [*sentences, *others]
    found, usage = told([rests_call(pieces, texts)], calls, cancelled)
    if found is None:
        return None, usage
    rests = found[0].reshape(len(texts), -1)
    values = rests - np.pad(rests[:, 1:], ((0, 0), (0, 1)))
    usual = np.median(values[len(sentences) :], axis=0)
    said = (values >= usual + _LIKELIER) | (values >= values.max(axis=0) - _AS_LIKELY) | (usual > -_TELLING)
    return [bool(each) for each in said[: len(sentences)].all(axis=1)], usage


def rests_call(pieces: Sequence[str], sentences: Sequence[str]) -> SubCall:
    """How likely the rest of the question is from its second part on, from its third on, and so forth: for the first
    sentence, then for the next. What is between two rests is the likelihood of a part; alone, a part is no answer."""
    cleaned = [without_template_tokens(piece) for piece in pieces]
    contexts = [
        Context(asking(each), ("".join(cleaned[at:]),), "".join(cleaned[:at]))
        for each in sentences
        for at in range(1, len(cleaned))
    ]
    return likelihood_call(SYSTEM, "", contexts, "compare")
