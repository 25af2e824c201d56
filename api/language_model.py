"""Which language model the settings ask for: a local process, a server elsewhere, or none."""

from collections.abc import Mapping
from typing import Any

from api.settings import Settings
from retrieval.models.manifest import LANGUAGE_GGUF, model_file
from retrieval.models.store import ModelStore
from rlm.answering import ChatModel, LanguageModel
from rlm.errors import LanguageModelUnavailableError
from rlm.llm.local.process import LocalModelProcess
from rlm.llm.prices import FREE
from rlm.llm.profiles import LOCAL_QWEN, ModelProfile, read_profiles


class NoLanguageModel:
    """Switched off: answers are extractive and say so."""

    def state(self) -> Mapping[str, Any]:
        return {"state": "none", "model": "none", "detail": "Answers are quotations, because LEADLINE_LLM is `none`."}

    def acquire(self) -> ChatModel | None:
        return None

    def close(self) -> None:
        return None


class LocalLanguageModel:
    """The small model in a process of its own; it loads while the service already answers searches."""

    def __init__(self, process: LocalModelProcess, profile: ModelProfile = LOCAL_QWEN) -> None:
        from rlm.llm.chat_models import local_chat_model  # slow to import: not for services without a model

        self._process = process
        self._profile = profile
        self._chat = local_chat_model(process.socket, profile)

    def state(self) -> Mapping[str, Any]:
        now = self._process.state()
        found: dict[str, Any] = {"state": now.state, "model": self._profile.name, "seconds": now.seconds}
        return {**found, "detail": now.reason, "hint": now.hint} if now.reason else found

    def acquire(self) -> ChatModel | None:
        now = self._process.state()
        if now.state == "loading":
            raise LanguageModelUnavailableError(
                "The language model is still loading.",
                hint="Ask again in some seconds; /health/ready says when it is there. Searches work already.",
                retry_after_seconds=5,
            )
        if now.state != "ready":
            raise LanguageModelUnavailableError(now.reason or "The language model is stopping.", hint=now.hint)
        return ChatModel(self._chat, self._profile)

    def close_connections(self) -> None:
        """Leave the process running for whoever else uses it."""
        self._chat.close()

    def close(self) -> None:
        self.close_connections()
        self._process.close()


class RemoteLanguageModel:
    """A model behind an OpenAI-compatible URL; whether it is there shows when it is asked."""

    def __init__(self, url: str, profile: ModelProfile, chat: ChatModel) -> None:
        self._url = url
        self._profile = profile
        self._chat = chat

    def state(self) -> Mapping[str, Any]:
        return {"state": "ready", "model": self._profile.name, "url": self._url}

    def acquire(self) -> ChatModel | None:
        return self._chat

    def close(self) -> None:
        return None


def open_language_model(settings: Settings, models: ModelStore) -> LanguageModel:
    """Raises `ModelMissingError` when the local model's file has not been fetched, and `ProfileFileError`."""
    if settings.llm == "none":
        return NoLanguageModel()
    profile = model_profile(settings)
    if settings.remote_llm is None:
        model = models.path(model_file(LANGUAGE_GGUF))
        return LocalLanguageModel(LocalModelProcess(model, settings.home / "language-model.log"), profile)
    from rlm.llm.chat_models import remote_chat_model

    url, _ = settings.remote_llm
    chat = remote_chat_model(url, profile, api_key=settings.llm_api_key)
    return RemoteLanguageModel(url, profile, ChatModel(chat, profile))


def open_judge(settings: Settings) -> LanguageModel | None:
    """The model that judges answers, where the settings name one of its own. Raises `ProfileFileError`."""
    if settings.judge is None:
        return None
    from rlm.llm.chat_models import remote_chat_model

    url, name = settings.judge.split(" ", 1)
    profile = read_profiles(settings.model_profiles).named(name)
    chat = remote_chat_model(url, profile, api_key=settings.judge_api_key)
    return RemoteLanguageModel(url, profile, ChatModel(chat, profile))


def model_profile(settings: Settings) -> ModelProfile:
    """What is known of the model that the settings ask for. Raises `ProfileFileError`."""
    profiles = read_profiles(settings.model_profiles)
    if settings.remote_llm is None:
        return profiles.named(LOCAL_QWEN.name)
    return profiles.named(settings.remote_llm[1], context_tokens=settings.llm_context_tokens)


def model_costs(settings: Settings) -> bool:
    """True if the model's price is known, and not 0. Raises `ProfileFileError`."""
    return settings.llm != "none" and model_profile(settings).price not in (None, FREE)
