"""The pairs of records that a model is asked about one by one: found by code, for all pairs of n records are n²/2."""

from collections.abc import Sequence
from itertools import combinations

from rlm.errors import NotExhaustiveError
from rlm.operators.aggregate import Key, join, sizes
from rlm.operators.table import Row

# A model that takes ten at once is asked a thousand times.
MOST_PAIRS = 10_000


def number_of_pairs(rows: Sequence[Row], key: Key | None, *, most: int = MOST_PAIRS) -> int:
    """Unordered ones, with a key of rows with the same value. Raises `NotExhaustiveError` for more than `most`."""
    groups = [len(rows)] if key is None else sizes(rows, key).values()
    number = sum(size * (size - 1) // 2 for size in groups)
    if number > most:
        raise NotExhaustiveError(
            f"{number:,} pairs of records are more than the {most:,} that a model is asked about one by one.",
            hint="Say which field is the same in both, or ask about fewer records.",
        )
    return number


def pairs_of(rows: Sequence[Row], key: Key | None) -> list[tuple[int, int]]:
    """These pairs, by the places of their rows, the lower first. Raises as `number_of_pairs`."""
    number_of_pairs(rows, key)
    places = range(len(rows))
    if key is None:
        return list(combinations(places, 2))
    values = [key.of(row) for row in rows]
    joined = join(places, places, left_key=values.__getitem__, right_key=values.__getitem__)
    return [(one, other) for one, other in joined if one < other]
