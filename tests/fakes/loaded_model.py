"""A deployment's language model that is there, or none."""

from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel

from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile

PROFILE = ModelProfile("scripted", 32_000, 2_000)


class LoadedModel:
    """Answers with `chat`; None stands for a deployment without a language model."""

    def __init__(self, chat: BaseChatModel | None, profile: ModelProfile = PROFILE) -> None:
        self._model = ChatModel(chat, profile) if chat else None
        self.is_away = False

    def get_state(self) -> Mapping[str, Any]:
        return {"state": "away" if self.is_away else "ready", "model": "scripted"}

    def acquire(self) -> ChatModel | None:
        return self._model

    def close(self) -> None:
        return None
