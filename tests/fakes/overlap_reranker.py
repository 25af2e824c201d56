"""A reranker that needs no model."""

from collections.abc import Sequence

from retrieval.rerank.port import CorpusSnapshot, require_remaining_seconds


class OverlapReranker:
    """The share of the query's words that a passage has."""

    fingerprint = "shared-words"

    def score_passages(
        self, query: str, passages: Sequence[str], *, deadline: float, corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        require_remaining_seconds(deadline)
        asked = set(query.casefold().split())
        return [len(asked & set(passage.casefold().split())) / max(1, len(asked)) for passage in passages]

    def close(self) -> None:
        return None
