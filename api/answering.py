"""Opens the reranker and the helping models that the settings ask for."""

from contextlib import ExitStack

from api.build.language_model import open_helper
from api.settings.settings import Helper, Settings
from retrieval.build import open_reranker
from retrieval.encoders.specs import is_described
from retrieval.models.store import ModelStore
from retrieval.rerank.port import AUTO, RerankerChoice, RerankerKind, parse_reranker
from retrieval.search.reranking import Reranking
from rlm.build import Helpers
from rlm.llm.port import LanguageModel


def chosen_reranker(settings: Settings, models: ModelStore) -> RerankerChoice | None:
    """Return the reranker that the settings ask for, if any.

    Left to the service, it is late interaction where its model is there anyway: with the built-in encoder, whose
    language the reranker shares.
    """
    if settings.reranker.strip() != AUTO:
        return parse_reranker(settings.reranker)
    own_encoder = settings.encoder is None or not is_described(settings.encoder)
    is_there = all(file.name.endswith(".gguf") for file in models.missing())
    return RerankerChoice(RerankerKind.LATE_INTERACTION) if own_encoder and is_there else None


def open_reranking(settings: Settings, models: ModelStore) -> Reranking | None:
    """Open the reranker, or return None if none is wanted. Raises `RerankerError` or `ModelMissingError`."""
    choice = chosen_reranker(settings, models)
    if choice is None:
        return None
    key = settings.reranker_api_key.get_secret_value() if settings.reranker_api_key else None
    return Reranking(
        open_reranker(choice, models, api_key=key, token_cache_bytes=settings.token_cache_bytes),
        depth=settings.rerank_depth or choice.depth,
        deadline_seconds=settings.rerank_deadline_ms / 1000,
        weight=settings.rerank_weight or choice.weight,
        at_once=choice.at_once,
        answers_only=settings.reranker.strip() == AUTO,
    )


def open_helpers(settings: Settings, stack: ExitStack) -> Helpers:
    """Open the models of parts of the work that the settings name; they are closed with `stack`."""

    def opened(helper: Helper) -> LanguageModel | None:
        model = open_helper(settings, helper)
        if model is not None:
            stack.callback(model.close)
        return model

    return Helpers(judge=opened("judge"), router=opened("router"), sub_calls=opened("subcalls"))
