"""Passages by their nearest sentence.

A passage's own vector is the mean of all it says, and one sentence among ten of something else hardly moves it. So the
first of a search are taken apart, and each sentence compared with the question. What that brought is in `DECISIONS.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retrieval.embedding import Embedder
from retrieval.passages import Passage
from rlm.sentences import sentence_spans
from rlm.strategies import Retriever

# Passages whose sentences are compared: a hundred have about 750.
LOOKED_AT = 60
# The first of the search itself stay among those that are returned.
_KEPT = 3


def nearest_first(retrieve: Retriever, embedder: Embedder, *, top_k: int) -> Retriever:
    """Of what `retrieve` finds, the `top_k` passages with the nearest sentences, nearest first, and the first three.

    Each has its `nearest`.
    """

    def find(question: str) -> Sequence[Passage]:
        found = list(retrieve(question))
        if not found:
            return found
        compared = compare(question, found, embedder)
        ordered = sorted(compared, key=lambda passage: -(passage.nearest or 0.0))
        kept = compared[: min(_KEPT, top_k)]
        others = [passage for passage in ordered if passage not in kept]
        chosen = [*kept, *others[: top_k - len(kept)]]
        return [passage for passage in ordered if passage in chosen]

    return find


def compare(question: str, passages: Sequence[Passage], embedder: Embedder) -> list[Passage]:
    """The passages in their order, each with the cosine of question and nearest sentence."""
    sentences = sentences_of(passages)
    best = np.full(len(passages), -1.0)
    np.maximum.at(
        best,
        [sentence.passage for sentence in sentences],
        cosines([question], [sentence.text for sentence in sentences], embedder),
    )
    return [replace(passage, nearest=float(value)) for passage, value in zip(passages, best, strict=True)]


@dataclass(frozen=True)
class Sentence:
    """`text` is the span from `start` to `end` of the passage at the place `passage`."""

    passage: int
    start: int
    end: int
    text: str


def sentences_of(passages: Sequence[Passage]) -> list[Sentence]:
    """The sentences of all passages, in order."""
    found: list[Sentence] = []
    for number, passage in enumerate(passages):
        spans = sentence_spans(passage.text)
        found += [Sentence(number, start, end, passage.text[start:end]) for start, end in spans]
    return found


def cosines(questions: Sequence[str], texts: Sequence[str], embedder: Embedder) -> NDArray[np.float32]:
    """For each of `texts` the sum of its cosines with the questions."""
    if not texts:
        return np.zeros(0, np.float32)
    asked = np.sum([embedder.query(question) for question in questions], axis=0)
    found: NDArray[np.float32] = embedder.documents(texts).vectors @ asked
    return found
