"""Which language model the settings ask for."""

from collections.abc import Mapping
from typing import Any

from api.settings import Settings
from retrieval.models.store import ModelStore
from rlm.answering import ChatModel, LanguageModel


class NoLanguageModel:
    """Switched off: answers are extractive and say so."""

    def state(self) -> Mapping[str, Any]:
        return {"state": "none", "model": "none", "detail": "Answers are quotations: LEADLINE_LLM is `none`."}

    def acquire(self) -> ChatModel | None:
        return None

    def close(self) -> None:
        return None


def open_language_model(settings: Settings, models: ModelStore) -> LanguageModel:
    return NoLanguageModel()
