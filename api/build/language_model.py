"""Opens the configured language models and reranker: a local process, a remote server, or none."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import httpx
import structlog
from pydantic import SecretStr

from api.settings.settings import Helper, ServedModel, Settings
from retrieval.bounded_replies import ResponseTooLargeError, fetch_short_document
from retrieval.build import open_reranker
from retrieval.encoders.specs import is_encoder_description
from retrieval.models.manifest import LANGUAGE_GGUF, load_model_file
from retrieval.models.store import ModelStore
from retrieval.rerank.port import AUTO_CHOICE, RerankerChoice, RerankerKind, parse_reranker
from retrieval.search.reranking import Reranking
from rlm.build import HelperModels
from rlm.errors import LanguageModelUnavailableError
from rlm.llm.budgets import FREE
from rlm.llm.local.process import LocalModelProcess
from rlm.llm.port import ChatModel, LanguageModel
from rlm.llm.profiles import LOCAL_QWEN, ModelProfile, load_profiles
from rlm.llm.servers import PooledServer, ServerPool

log = structlog.get_logger(__name__)

# HTTP statuses that mean that the server rejected the caller or failed, or that a gateway could not reach the server.
# Any other status comes from a running server, even if the server has no model list.
_UNREACHED_STATUSES = frozenset({401, 403, 500, 502, 503, 504})
# Maximum time that the first request for the state waits for the first check. A server typically responds within this
# time.
_FIRST_CHECK_SECONDS = 0.5


class NoLanguageModel:
    """Replaces the language model if none is configured. Answers are extractive and say so."""

    def get_state(self) -> Mapping[str, Any]:
        return {"state": "none", "model": "none", "detail": "Answers are quotations, because LEADLINE_LLM is `none`."}

    def acquire(self) -> ChatModel | None:
        return None

    def close(self) -> None:
        return None


class LocalLanguageModel:
    """The small local model, in its own process. While the model loads, the service can already handle searches."""

    def __init__(self, process: LocalModelProcess, profile: ModelProfile = LOCAL_QWEN) -> None:
        # Import lazily, because the import is slow and only needed for a local model.
        from rlm.llm.chat_models import build_local_chat_model

        self._process = process
        self._profile = profile
        self._chat = build_local_chat_model(process.socket, profile)

    def get_state(self) -> Mapping[str, Any]:
        now = self._process.get_state()
        found: dict[str, Any] = {"state": now.state, "model": self._profile.name, "seconds": now.seconds}
        return {**found, "detail": now.reason, "hint": now.hint} if now.reason else found

    def acquire(self) -> ChatModel | None:
        now = self._process.get_state()
        if now.state == "loading":
            raise LanguageModelUnavailableError(
                "The language model is still loading.",
                hint="Ask again in a few seconds; /health/ready shows when the model is ready. Searches already work.",
                retry_after_seconds=5,
            )
        if now.state != "ready":
            raise LanguageModelUnavailableError(now.reason or "The language model is stopping.", hint=now.hint)
        return ChatModel(self._chat, self._profile)

    def close(self) -> None:
        self._process.close()


@dataclass(frozen=True)
class ModelList:
    """A server's response to `GET /models`: its model names and, for vLLM only, the context window of our model."""

    names: tuple[str, ...]
    context_tokens: int | None


def fetch_model_list(url: str, model: str, api_key: SecretStr | None, *, timeout_seconds: float = 5.0) -> ModelList:
    """Fetch a server's list of models.

    Raises `LanguageModelUnavailableError` with the reason if the server returns no list.
    """
    headers = {"Authorization": f"Bearer {api_key.get_secret_value()}"} if api_key else {}
    try:
        answer = fetch_short_document(f"{url}/models", headers=headers, timeout=timeout_seconds).raise_for_status()
        entries = [entry for entry in answer.json()["data"] if isinstance(entry, dict)]
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        raise LanguageModelUnavailableError(
            f"{url} returned {status}.", reached=status not in _UNREACHED_STATUSES
        ) from error
    except httpx.HTTPError as error:
        raise LanguageModelUnavailableError(f"{url} could not be reached: {error}.", sent=False) from error
    except ResponseTooLargeError as error:
        raise LanguageModelUnavailableError(str(error), reached=True) from error
    except (ValueError, KeyError, TypeError) as error:
        raise LanguageModelUnavailableError(f"{url} did not return a list of models.", reached=True) from error
    windows = (entry.get("max_model_len") for entry in entries if entry.get("id") == model)
    window = next((each for each in windows if isinstance(each, int) and each > 0), None)
    return ModelList(tuple(str(entry.get("id")) for entry in entries), window)


def fetch_vllm_version(url: str, api_key: SecretStr | None, *, timeout_seconds: float = 5.0) -> str | None:
    """Return the version of a vLLM server, which it reports at `/version`. Return None for other servers."""
    headers = {"Authorization": f"Bearer {api_key.get_secret_value()}"} if api_key else {}
    try:
        answer = fetch_short_document(f"{url.removesuffix('/v1')}/version", headers=headers, timeout=timeout_seconds)
        version = answer.raise_for_status().json()["version"]
    except (httpx.HTTPError, ResponseTooLargeError, ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, str) else None


class RemoteLanguageModel:
    """A model behind OpenAI-compatible URLs, whose servers are checked in the background.

    A check is cheap and runs at most every `look_seconds`. No request waits for a check or is rejected because of a
    failed check, since the server may have recovered. If there are several servers, those that appear to be unavailable
    are tried last. `sized` returns the model profile for a context window. It is called with the smallest context
    window that any server reports.
    """

    def __init__(
        self,
        urls: str | Sequence[str],
        chat_model: ChatModel,
        *,
        pool: ServerPool | None = None,
        api_key: SecretStr | None = None,
        build_profile: Callable[[int], ModelProfile] | None = None,
        check_interval_seconds: float = 15.0,
    ) -> None:
        """Set up the checks. If there are several `urls`, `pool` contains a server for each URL, in order."""
        self._urls = (urls,) if isinstance(urls, str) else tuple(urls)
        self._chat = chat_model
        self._pool = pool
        self._api_key = api_key
        self._sized = build_profile or chat_model.profile.with_context_tokens
        self._look_seconds = check_interval_seconds
        self._lock = threading.Lock()
        self._looking = False
        self._looked = -math.inf
        self._troubles: tuple[LanguageModelUnavailableError | None, ...] = (None,) * len(self._urls)
        self._seen = threading.Event()
        self._check_if_due()

    def get_state(self) -> Mapping[str, Any]:
        """Return the last known state: `loading` until the first check ends, then `ready`, or `away` with the reason.

        A model with several servers is ready if at least one of them is; `servers` contains the state of each.
        """
        self._check_if_due()
        seen = self._seen.wait(_FIRST_CHECK_SECONDS)
        trouble = None if None in self._troubles else self._troubles[0]
        state = "loading" if not seen else "ready" if trouble is None else "away"
        found: dict[str, Any] = {"state": state, "model": self._chat.profile.name, "url": self._urls[0]}
        if self._pool is not None:
            found["servers"] = [self._describe_server(server) for server in self._pool.servers]
        return found if trouble is None else {**found, "detail": trouble.detail, "hint": trouble.hint}

    def acquire(self) -> ChatModel | None:
        self._check_if_due()
        return self._chat

    def wait_for_check(self, timeout_seconds: float) -> bool:
        """Wait until all servers have been checked once."""
        return self._seen.wait(timeout_seconds)

    def close(self) -> None:
        return None

    def _describe_server(self, server: PooledServer) -> Mapping[str, Any]:
        assert self._pool is not None, "only servers in a pool have their own state"
        trouble = self._troubles[server.number - 1]
        resting = round(self._pool.compute_resting_seconds(server), 1)
        state = "away" if trouble is not None else "resting" if resting else "ready"
        found = {"server": server.number, "url": self._urls[server.number - 1], "state": state}
        more = {"open_requests": server.in_flight, "resting_seconds": resting}
        return {**found, **more} if trouble is None else {**found, **more, "detail": trouble.detail}

    def _check_if_due(self) -> None:
        with self._lock:
            if self._looking or time.monotonic() - self._looked < self._look_seconds:
                return
            self._looking = True
        threading.Thread(target=self._check_servers, name="language-model-look", daemon=True).start()

    def _check_servers(self) -> None:
        with ThreadPoolExecutor(len(self._urls), thread_name_prefix="language-model-look") as threads:
            results = list(threads.map(self._check_server, self._urls))
        windows = [result for result in results if isinstance(result, int)]
        troubles = tuple(result if isinstance(result, LanguageModelUnavailableError) else None for result in results)
        profile = self._sized(min(windows)) if windows else self._chat.profile
        for number, (trouble, before) in enumerate(zip(troubles, self._troubles, strict=True)):
            if trouble is not None and before is None:
                log.warning("language model server unavailable", server=number + 1, detail=str(trouble))
            self._update_pooled_server(number, trouble)
        with self._lock:
            self._troubles, self._chat = troubles, replace(self._chat, profile=profile)
            self._looking, self._looked = False, time.monotonic()
        self._seen.set()

    def _check_server(self, url: str) -> int | LanguageModelUnavailableError | None:
        """Return the context window that a server reports. If the server is unavailable, return the error."""
        try:
            return fetch_model_list(url, self._chat.profile.name, self._api_key).context_tokens
        except LanguageModelUnavailableError as error:
            return None if error.reached else error

    def _update_pooled_server(self, server_index: int, error: LanguageModelUnavailableError | None) -> None:
        if self._pool is None:
            return
        server = self._pool.servers[server_index]
        if error is not None:
            self._pool.record_failure(server, retry_after_seconds=self._look_seconds)
        elif self._troubles[server_index] is not None:
            self._pool.record_answer(server)


def open_language_model(settings: Settings, models: ModelStore) -> LanguageModel:
    """Open the configured language model.

    Raises `ModelMissingError` if the local model has not been downloaded, and `ProfileFileError` if the profile file is
    not valid.
    """
    if settings.llm == "none":
        return NoLanguageModel()
    if settings.remote_llm is None:
        model = models.require_verified_path(load_model_file(LANGUAGE_GGUF))
        process = LocalModelProcess(model, settings.home / "language-model.log")
        return LocalLanguageModel(process, load_model_profile(settings))
    return _open_remote_model(
        settings.remote_llm,
        settings.llm_api_key,
        lambda window: load_model_profile(settings, server_context_tokens=window),
    )


def open_helper_model(settings: Settings, helper: Helper) -> LanguageModel | None:
    """Open the model of a helper task, or return None if none is configured for it. Raises `ProfileFileError`."""
    served = settings.helpers[helper]
    if served is None:
        return None
    profiles = load_profiles(settings.model_profiles)
    return _open_remote_model(
        served,
        settings.helper_keys[helper],
        lambda window: profiles.get_profile(served.model, context_tokens=window),
    )


def _open_remote_model(
    served_model: ServedModel, api_key: SecretStr | None, build_profile: Callable[[int | None], ModelProfile]
) -> RemoteLanguageModel:
    """Open a model on one or several servers. Each server handles up to `parallel_calls` concurrent calls."""
    from rlm.llm.chat_models import build_remote_chat_model

    profile = build_profile(None)
    chats = [build_remote_chat_model(url, profile, api_key=api_key) for url in served_model.urls]
    if len(chats) == 1:
        return RemoteLanguageModel(
            served_model.urls, ChatModel(chats[0], profile), api_key=api_key, build_profile=build_profile
        )
    from rlm.llm.pooled_chat import PooledChatModel

    def build_pooled_profile(context_tokens: int | None) -> ModelProfile:
        one = build_profile(context_tokens)
        return replace(one, parallel_calls=one.parallel_calls * len(chats))

    pooled = PooledChatModel(chats, call_seconds=profile.call_seconds, name=profile.name)
    chat = ChatModel(pooled, build_pooled_profile(None))
    return RemoteLanguageModel(
        served_model.urls, chat, pool=pooled.pool, api_key=api_key, build_profile=build_pooled_profile
    )


def load_model_profile(settings: Settings, *, server_context_tokens: int | None = None) -> ModelProfile:
    """Return the profile of the configured model, limited to the smallest known context window.

    `server_context_tokens` is the context window that the model's server reports. Raises `ProfileFileError` if the
    profile file is not valid.
    """
    profiles = load_profiles(settings.model_profiles)
    if settings.remote_llm is None:
        return profiles.get_profile(LOCAL_QWEN.name)
    windows = [each for each in (settings.llm_context_tokens, server_context_tokens) if each is not None]
    return profiles.get_profile(settings.remote_llm.model, context_tokens=min(windows, default=None))


def is_model_free(settings: Settings) -> bool:
    """Return whether the answering model and all helper models are free of charge. Raises `ProfileFileError`."""
    return all(profile.price == FREE for profile in _load_model_profiles(settings))


def has_priced_model(settings: Settings) -> bool:
    """Return whether any model has a known price above 0. Raises `ProfileFileError`."""
    return settings.llm != "none" and any(
        profile.price not in (None, FREE) for profile in _load_model_profiles(settings)
    )


def _load_model_profiles(settings: Settings) -> list[ModelProfile]:
    """Return the profiles of the helper models and, if there is one, of the answering model."""
    read = load_profiles(settings.model_profiles)
    helpers = [read.get_profile(served.model) for served in settings.helpers.values() if served is not None]
    return helpers if settings.llm == "none" else [load_model_profile(settings), *helpers]


def select_reranker(settings: Settings, models: ModelStore) -> RerankerChoice | None:
    """Return the configured reranker, or None if there is none.

    `auto` selects late interaction if two conditions are met: the reranker's model is installed, and the built-in
    encoder is used, which supports the same language as the reranker.
    """
    if settings.reranker.strip() != AUTO_CHOICE:
        return parse_reranker(settings.reranker)
    own_encoder = settings.encoder is None or not is_encoder_description(settings.encoder)
    is_there = all(file.name.endswith(".gguf") for file in models.list_missing_files())
    return RerankerChoice(RerankerKind.LATE_INTERACTION) if own_encoder and is_there else None


def open_configured_reranker(settings: Settings, models: ModelStore) -> Reranking | None:
    """Open the reranker, or return None if none is configured.

    Raises `RerankerError` if it cannot be opened, and `ModelMissingError` if its model has not been downloaded.
    """
    choice = select_reranker(settings, models)
    if choice is None:
        return None
    key = settings.reranker_api_key.get_secret_value() if settings.reranker_api_key else None
    return Reranking(
        open_reranker(choice, models, api_key=key, token_cache_bytes=settings.token_cache_bytes),
        depth=settings.rerank_depth or choice.depth,
        deadline_seconds=settings.rerank_deadline_ms / 1000,
        weight=settings.rerank_weight or choice.weight,
        max_parallel=choice.max_parallel,
        answers_only=settings.reranker.strip() == AUTO_CHOICE,
        is_required=settings.rerank_required,
    )


def open_helper_models(settings: Settings, stack: ExitStack) -> HelperModels:
    """Open the helper models in the settings. They are closed with `stack`."""

    def open_and_register(helper: Helper) -> LanguageModel | None:
        model = open_helper_model(settings, helper)
        if model is not None:
            stack.callback(model.close)
        return model

    return HelperModels(
        judge=open_and_register("judge"), router=open_and_register("router"), sub_calls=open_and_register("subcalls")
    )
