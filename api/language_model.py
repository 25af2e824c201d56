"""Opens the language model that the settings ask for: a local process, a server elsewhere, or none."""

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx
import structlog
from pydantic import SecretStr

from api.settings import Settings
from retrieval.models.manifest import LANGUAGE_GGUF, model_file
from retrieval.models.store import ModelStore
from rlm.errors import LanguageModelUnavailableError
from rlm.llm.budgets import FREE
from rlm.llm.local.process import LocalModelProcess
from rlm.llm.port import ChatModel, LanguageModel
from rlm.llm.profiles import LOCAL_QWEN, ModelProfile, read_profiles

log = structlog.get_logger(__name__)

# Statuses of a refused caller, or of a gateway whose server is away. Any other answer comes from a server that is
# there, even if it has no list.
_NOBODY = frozenset({401, 403, 500, 502, 503, 504})
# Typical time of a server's answer; a state asked for at the start need not be unknown.
_FIRST_LOOK_SECONDS = 0.5


class NoLanguageModel:
    """No language model: answers are extractive and say so."""

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

    def close(self) -> None:
        self._process.close()


@dataclass(frozen=True)
class ServerList:
    """A server's answer to `GET /models`: the names it serves, and the window that ours was started with (vLLM)."""

    names: tuple[str, ...]
    context_tokens: int | None


def list_models(url: str, model: str, api_key: SecretStr | None, *, timeout_seconds: float = 5.0) -> ServerList:
    """Ask a server which models it serves. Raises `LanguageModelUnavailableError`, which says why there is no list."""
    headers = {"Authorization": f"Bearer {api_key.get_secret_value()}"} if api_key else {}
    try:
        answer = httpx.get(f"{url}/models", headers=headers, timeout=timeout_seconds).raise_for_status()
        entries = [entry for entry in answer.json()["data"] if isinstance(entry, dict)]
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise LanguageModelUnavailableError(f"{url} answers {status}.", reached=status not in _NOBODY) from error
    except httpx.HTTPError as error:
        raise LanguageModelUnavailableError(f"{url} cannot be reached: {error}.", sent=False) from error
    except (ValueError, KeyError, TypeError) as error:
        raise LanguageModelUnavailableError(f"{url} lists no models.", reached=True) from error
    windows = (entry.get("max_model_len") for entry in entries if entry.get("id") == model)
    window = next((each for each in windows if isinstance(each, int) and each > 0), None)
    return ServerList(tuple(str(entry.get("id")) for entry in entries), window)


def vllm_version(url: str, api_key: SecretStr | None, *, timeout_seconds: float = 5.0) -> str | None:
    """Return the release of a vLLM server, which tells it beside `/v1`; None for any other server."""
    headers = {"Authorization": f"Bearer {api_key.get_secret_value()}"} if api_key else {}
    try:
        answer = httpx.get(f"{url.removesuffix('/v1')}/version", headers=headers, timeout=timeout_seconds)
        version = answer.raise_for_status().json()["version"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, str) else None


class RemoteLanguageModel:
    """A model behind an OpenAI-compatible URL, whose server is checked in the background.

    A check is cheap, and at most one is made every `look_seconds`. No request waits for a check or is refused because
    of one: the server may be back. `sized` is the profile in a window that the server reports.
    """

    def __init__(
        self,
        url: str,
        chat: ChatModel,
        *,
        api_key: SecretStr | None = None,
        sized: Callable[[int], ModelProfile] | None = None,
        look_seconds: float = 15.0,
    ) -> None:
        self._url = url
        self._chat = chat
        self._api_key = api_key
        self._sized = sized or chat.profile.within
        self._look_seconds = look_seconds
        self._lock = threading.Lock()
        self._looking = False
        self._looked = -math.inf
        self._trouble: LanguageModelUnavailableError | None = None
        self._seen = threading.Event()
        self._look_if_due()

    def state(self) -> Mapping[str, Any]:
        """Return the state as last seen: `loading` until the first check is over, and `away` with the reason."""
        self._look_if_due()
        state = "loading" if not self._seen.wait(_FIRST_LOOK_SECONDS) else "ready" if self._trouble is None else "away"
        found = {"state": state, "model": self._chat.profile.name, "url": self._url}
        trouble = self._trouble
        return found if trouble is None else {**found, "detail": trouble.detail, "hint": trouble.hint}

    def acquire(self) -> ChatModel | None:
        self._look_if_due()
        return self._chat

    def wait_seen(self, timeout_seconds: float) -> bool:
        """Wait for the first check of the server, for tests and commands."""
        return self._seen.wait(timeout_seconds)

    def close(self) -> None:
        return None

    def _look_if_due(self) -> None:
        with self._lock:
            if self._looking or time.monotonic() - self._looked < self._look_seconds:
                return
            self._looking = True
        threading.Thread(target=self._look, name="language-model-look", daemon=True).start()

    def _look(self) -> None:
        profile, trouble = self._chat.profile, None
        try:
            window = list_models(self._url, profile.name, self._api_key).context_tokens
            profile = profile if window is None else self._sized(window)
        except LanguageModelUnavailableError as error:
            trouble = None if error.reached else error
        if trouble is not None and self._trouble is None:
            log.warning("the language model's server is away", detail=str(trouble))
        with self._lock:
            self._trouble, self._chat = trouble, replace(self._chat, profile=profile)
            self._looking, self._looked = False, time.monotonic()
        self._seen.set()


def open_language_model(settings: Settings, models: ModelStore) -> LanguageModel:
    """Open the model. Raises `ModelMissingError` if the local model's file was not fetched, and `ProfileFileError`."""
    if settings.llm == "none":
        return NoLanguageModel()
    profile = model_profile(settings)
    if settings.remote_llm is None:
        model = models.path(model_file(LANGUAGE_GGUF))
        return LocalLanguageModel(LocalModelProcess(model, settings.home / "language-model.log"), profile)
    from rlm.llm.chat_models import remote_chat_model

    url, _ = settings.remote_llm
    chat = remote_chat_model(url, profile, api_key=settings.llm_api_key)
    return RemoteLanguageModel(
        url,
        ChatModel(chat, profile),
        api_key=settings.llm_api_key,
        sized=lambda window: model_profile(settings, served_tokens=window),
    )


def open_judge(settings: Settings) -> LanguageModel | None:
    """Open the model that judges answers, if the settings name a separate one. Raises `ProfileFileError`."""
    if settings.judge_llm is None:
        return None
    from rlm.llm.chat_models import remote_chat_model

    url, name = settings.judge_llm
    profile = read_profiles(settings.model_profiles).named(name)
    chat = remote_chat_model(url, profile, api_key=settings.judge_api_key)
    return RemoteLanguageModel(
        url, ChatModel(chat, profile), api_key=settings.judge_api_key, sized=lambda window: profile.within(window)
    )


def model_profile(settings: Settings, *, served_tokens: int | None = None) -> ModelProfile:
    """Return the profile of the model that the settings ask for, in the window that its server reports.

    The smallest of the known windows is taken. Raises `ProfileFileError`.
    """
    profiles = read_profiles(settings.model_profiles)
    if settings.remote_llm is None:
        return profiles.named(LOCAL_QWEN.name)
    windows = [each for each in (settings.llm_context_tokens, served_tokens) if each is not None]
    return profiles.named(settings.remote_llm[1], context_tokens=min(windows, default=None))


def model_is_free(settings: Settings) -> bool:
    """True if neither the answering nor the judging model costs money. Raises `ProfileFileError`."""
    profiles = [] if settings.llm == "none" else [model_profile(settings)]
    if settings.judge_llm is not None:
        profiles.append(read_profiles(settings.model_profiles).named(settings.judge_llm[1]))
    return all(profile.price == FREE for profile in profiles)


def model_costs(settings: Settings) -> bool:
    """True if the model's price is known, and not 0. Raises `ProfileFileError`."""
    return settings.llm != "none" and model_profile(settings).price not in (None, FREE)
