"""Which sentence of a search answers a question, and whether what is asked is said of others only.

A small model finds a question about somebody likely after any sentence about them. What tells an answer from that is
what the documents say of others: "Hugo Stanhope can be heard practising the tuba", with the name that is asked for in
the place of his, makes "Which instrument does Mortimer Stanhope play?" likelier than that Mortimer left an oboe on a
train. What it brings is in `DECISIONS.md`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from retrieval.passages import Passage
from rlm.answerability import CLEAR_BEHIND, CLEAR_LEAD, CLEAR_LEAD_ALONE, LEAST_AFFIRMED, MOST_BEHIND
from rlm.answers import Usage
from rlm.candidates import Candidate, Cosines, distinct_sentences, nearest
from rlm.likeliest import affirming_call, asking_call, second_look, told
from rlm.namesakes import full_name, in_full, renamed, without_name
from rlm.nearest import Sentence
from rlm.sentences import with_antecedent
from rlm.strategies import never
from rlm.subcalls.port import SubCalls

# Sentences that are compared: of those that may answer, and of those about others.
COMPARED, _OTHERS = 12, 8
# What a nat of "yes" over "no" counts beside one of the question's likelihood.
_OF_AFFIRMING = 4.0


@dataclass(frozen=True)
class Contrast:
    """Sentences that may answer, likeliest first, with the values that they are ordered by, in nats.

    `affirmed` is by how much the first is likelier to be said to answer than not to. `ahead` is by how much its value
    is over that of what is said of others, as if it were said of who is asked about; None where there is no such thing.
    """

    sentences: Sequence[Candidate] = ()
    values: Sequence[float] = ()
    affirmed: float = 0.0
    ahead: float | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def lead(self) -> float:
        """By how much the first is ahead of the next; nothing where there are no two."""
        return self.values[0] - self.values[1] if len(self.values) > 1 else 0.0

    @property
    def said_of_others(self) -> bool:
        """Whether others are said what is asked, and who is asked about is not."""
        return self.ahead is not None and self.ahead < -MOST_BEHIND

    @property
    def clear(self) -> bool:
        """Whether the first stands out by far."""
        if self.ahead is None:
            enough = self.lead >= CLEAR_LEAD_ALONE
        else:
            enough = self.lead >= CLEAR_LEAD and self.ahead >= -CLEAR_BEHIND
        return enough and self.affirmed >= LEAST_AFFIRMED

    def place(self, passage: Passage) -> int:
        """The place of a passage's likeliest sentence; after all where it has none."""
        places = (at for at, each in enumerate(self.sentences) if each.passage == passage)
        return next(places, len(self.sentences))


class Contrasts:
    """Compares the sentences of passages by a model's likelihoods, and by `cosines` which ones are worth it."""

    def __init__(self, calls: SubCalls, cosines: Cosines, *, cancelled: Callable[[], bool] = never) -> None:
        self._calls = calls
        self._cosines = cosines
        self._cancelled = cancelled

    def of(self, question: str, passages: Sequence[Passage], others: Sequence[Passage] = ()) -> Contrast:
        """The contrast of the nearest sentences; an empty one where the model does not tell.

        `others` are searched for what is said of somebody else than `full_name(question)`. Raises `RunCancelledError`.
        """
        name = full_name(question)
        near = nearest(question, _about(name, passages), passages, self._cosines, COMPARED)
        if not near:
            return Contrast()
        texts = [each.text for each in near]
        if name is not None:
            texts = [in_full(each, name) for each in texts] + self._of_others(question, name, [*passages, *others])
        calls = [asking_call(question, texts), affirming_call(question, texts)]
        found, usage = told(calls, self._calls, self._cancelled)
        if found is None:
            return Contrast(usage=usage)
        asked, affirmed = found[0][:, 0], found[1][:, 0] - found[1][:, 1]
        values = asked + _OF_AFFIRMING * affirmed
        order = np.argsort(-values[: len(near)], kind="stable")
        first = order[0]
        ahead = float(values[first] - values[len(near) :].max()) if len(texts) > len(near) else None
        return Contrast(
            [near[at] for at in order], [float(values[at]) for at in order], float(affirmed[first]), ahead, usage
        )

    def _of_others(self, question: str, name: str, passages: Sequence[Passage]) -> list[str]:
        """What is said of somebody else that is nearest to the question, with the name that is asked for instead."""
        others = _about(name, passages, others=True)
        found = nearest(without_name(question, name), others, passages, self._cosines, _OTHERS)
        return [instead for each in found if (instead := renamed(each.text, name)) is not None]

    def second_look(self, question: str, answer: str, excerpt: Passage) -> tuple[float | None, Usage]:
        """As `likeliest.second_look`."""
        return second_look(question, answer, excerpt, self._calls, self._cancelled)


def _about(name: str | None, passages: Sequence[Passage], *, others: bool = False) -> list[Sentence]:
    """The sentences that may be about who has the name, or those about `others`; without a name all of them."""
    sentences = distinct_sentences(passages)
    if name is None:
        return sentences
    return [each for each in sentences if (renamed(_with_antecedent(each, passages), name) is not None) == others]


def _with_antecedent(sentence: Sentence, passages: Sequence[Passage]) -> str:
    text = passages[sentence.passage].text
    return text[slice(*with_antecedent(text, sentence.start, sentence.end))]
