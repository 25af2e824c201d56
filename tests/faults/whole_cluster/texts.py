"""The documents and queries of the trial: seeded, so that each has words of its own."""

import random
from collections.abc import Sequence

from tests.support.books import book

_WORDS = (
    *("harbour", "lamp", "keeper", "storm", "ledger", "vessel", "anchor", "pilot", "cargo", "rope", "mast", "tide"),
    *("signal", "beacon", "quay", "crane", "captain", "whale", "lantern", "galley", "island", "fathom"),
)


def build_text(number: int) -> str:
    """A small document of a few chunks, whose heading has a word that no other has."""
    return f"# {build_word(number)}\n\n{book(number, chapters=1, sentences=20)}"


def build_word(number: int) -> str:
    return f"consignment{number:05}"


def build_queries(count: int) -> Sequence[str]:
    """Queries of two to four words that occur in many documents, so that ranks depend on all of them."""
    source = random.Random(count)
    return [" ".join(source.sample(_WORDS, source.randint(2, 4))) for _ in range(count)]
