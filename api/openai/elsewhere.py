"""Hints for paths of OpenAI's API that this service does not support, or uses for something else."""

from collections.abc import Mapping

_OFFERED_PATHS = ("/v1/chat", "/v1/embeddings", "/v1/models", "/v1/responses", "/v1/files", "/v1/vector_stores")
_ASK = "Ask with POST /v1/responses or POST /v1/chat/completions"
_NO_MODEL = f"Leadline answers questions from documents and has no model of this kind. {_ASK}"
_BUILT_IN = "Assistants and threads are not supported."
# The first entry that contains the path counts.
_ALTERNATIVES: Mapping[str, str] = {
    "/v1/responses/compact": "Leadline shortens long conversations by itself. Continue one with `conversation` or "
    "`previous_response_id`.",
    "/v1/chat/completions": "Chat completions are not stored. To list and read answers later, ask with POST "
    "/v1/responses; GET /v1/conversations lists conversations.",
    "/v1/completions": "Legacy completions are not supported. Ask with POST /v1/chat/completions or /v1/responses.",
    "/v1/decisions": "Decisions are not supported. Send POST /v1/responses, with a `json_schema` in `text.format`.",
    "/v1/moderations": f"{_NO_MODEL}.",
    "/v1/images": f"{_NO_MODEL}.",
    "/v1/audio": f"{_NO_MODEL}.",
    "/v1/videos": f"{_NO_MODEL}.",
    "/v1/realtime": f"{_NO_MODEL}; use `stream` to receive an answer as it is written.",
    "/v1/fine_tuning": f"{_NO_MODEL}.",
    "/v1/evals": f"{_NO_MODEL}.",
    "/v1/containers": f"{_NO_MODEL}.",
    "/v1/assistants": f"{_BUILT_IN} {_ASK}; collections are vector stores.",
    "/v1/threads": f"{_BUILT_IN} {_ASK}; continue with `previous_response_id` or `conversation`.",
    "/v1/conversations": "Ids of conversations in OpenAI's format begin with `conv_`; other ids are shown in "
    "Leadline's own format.",
    "/v1/uploads": "Resumable uploads use tus 1.0.0 (`Tus-Resumable: 1.0.0`) instead of OpenAI's Uploads API. POST "
    "/v1/files accepts whole files.",
    "/v1/batches": "Batches here group uploaded documents, not requests as in OpenAI's API. To ask many questions, "
    "send POST /v1/responses with `background`.",
}


def get_alternative_hint(path: str) -> str:
    """Return a hint for a path of OpenAI's API, or an empty string for any other path."""
    return next((words for known, words in _ALTERNATIVES.items() if _is_under(path, known)), "")


def is_openai_path(path: str) -> bool:
    """Return whether `path` belongs to OpenAI's API, even if this service does not support it."""
    return any(_is_under(path, known) for known in (*_OFFERED_PATHS, *_ALTERNATIVES))


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")
