"""A reranker that needs no model."""

from collections.abc import Sequence

from retrieval.rerank.port import Corpus, seconds_left


class OverlapReranker:
    """The share of the query's words that a passage has."""

    fingerprint = "shared-words"

    def scores(
        self, query: str, passages: Sequence[str], *, until: float, corpus: Corpus | None = None
    ) -> Sequence[float]:
        seconds_left(until)
        asked = set(query.casefold().split())
        return [len(asked & set(passage.casefold().split())) / max(1, len(asked)) for passage in passages]

    def close(self) -> None:
        return None
