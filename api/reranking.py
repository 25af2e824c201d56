"""Which reranker the settings ask for."""

from api.settings import Settings
from retrieval.build import open_reranker
from retrieval.models.store import ModelStore
from retrieval.rerankers import parse_reranker
from retrieval.reranking import Reranking


def open_reranking(settings: Settings, models: ModelStore) -> Reranking | None:
    """None where there is to be none. Raises `RerankerError` or `ModelMissingError` for what cannot be opened."""
    choice = parse_reranker(settings.reranker)
    if choice is None:
        return None
    key = settings.reranker_api_key.get_secret_value() if settings.reranker_api_key else None
    return Reranking(
        open_reranker(choice, models, api_key=key),
        depth=settings.rerank_depth or choice.depth,
        deadline_seconds=settings.rerank_deadline_ms / 1000,
        weight=settings.rerank_weight or choice.weight,
    )
