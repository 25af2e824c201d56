"""Fusing rankings: pure functions, each with its paper."""

from collections.abc import Sequence

# The paper's constant. Ranks count from 1 here; Qdrant counts from 0, so its `k=61` is this `k=60`.
RRF_K = 60


def reciprocal_rank_fusion(rankings: Sequence[Sequence[str]], *, k: int = RRF_K) -> list[tuple[str, float]]:
    """Fuse rankings of ids, best first; ties break by id, so results repeat.

    score(d) = sum over rankings of 1 / (k + rank(d)), ranks from 1; an absent document adds nothing.
    Source: Cormack, Clarke & Buettcher, SIGIR 2009 (k = 60).
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, identifier in enumerate(ranking, start=1):
            scores[identifier] = scores.get(identifier, 0.0) + 1.0 / (k + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
