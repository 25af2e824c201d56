"""Lines about an animal or a plant each, the rule that tells which, and an encoder that cancels a run."""

import random
from collections.abc import Sequence

from retrieval.encoders.port import EmbeddedTexts, HashingEmbedder
from rlm.corpus.records import SplitMethod, split_records
from rlm.operators.cascade import CascadeLimits
from tests.support.corpora import corpus_of

ANIMALS = ("cat", "dog", "owl")
PLANTS = ("oak", "elm", "fern")
LABELS = ["animal", "plant"]
LENGTH = {"length": {"type": "integer"}}
LIMITS = CascadeLimits(read_all=100, sample=200, target=0.9)


def kind(text: str) -> str:
    return "animal" if any(word in text for word in ANIMALS) else "plant"


def lines(count: int, seed: int = 1) -> list[str]:
    source = random.Random(seed)
    return [f"the {source.choice(ANIMALS + PLANTS)} number {source.randint(1, 99)}" for _ in range(count)]


def corpus_and_records(texts: list[str]):  # type: ignore[no-untyped-def]
    corpus = corpus_of("\n".join(texts))
    return corpus, [each.handle for each in split_records(corpus, SplitMethod.LINE)]


class Signalling(HashingEmbedder):
    """Cancels a run as soon as it has embedded so many texts; `portions` are how many it was given at once."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at
        self.portions: list[int] = []

    def embed_documents(self, texts: Sequence[str], *, is_background: bool = False) -> EmbeddedTexts:
        self.portions.append(len(texts))
        return super().embed_documents(texts)

    def cancelled(self) -> bool:
        return sum(self.portions) >= self.at
