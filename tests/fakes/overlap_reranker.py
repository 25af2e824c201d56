"""A reranker that needs no model."""

from collections.abc import Sequence

from retrieval.rerank.port import CorpusSnapshot, require_seconds_left


class OverlapReranker:
    """The share of the query's words that a passage has."""

    fingerprint = "shared-words"

    def score_passages(
        self, query: str, passages: Sequence[str], *, until: float, corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        require_seconds_left(until)
        asked = set(query.casefold().split())
        return [len(asked & set(passage.casefold().split())) / max(1, len(asked)) for passage in passages]

    def close(self) -> None:
        return None
