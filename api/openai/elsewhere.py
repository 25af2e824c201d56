"""Says what is offered instead of the paths of OpenAI's API that are not answered here, or mean another thing here."""

from collections.abc import Mapping

_OFFERED_PATHS = ("/v1/chat", "/v1/models", "/v1/responses", "/v1/files", "/v1/vector_stores")
_ASK = "Ask with POST /v1/responses or POST /v1/chat/completions"
_NO_MODEL = f"Leadline answers questions from documents, and serves no model of this kind. {_ASK}"
_BUILT_IN = "Assistants and threads are not offered."
_ALTERNATIVES: Mapping[str, str] = {
    "/v1/embeddings": "Leadline embeds documents itself and gives no vectors away. Search with POST "
    "/v1/vector_stores/{id}/search, or with POST /v1/search.",
    "/v1/completions": "Legacy completions are not offered. Ask with POST /v1/chat/completions, or POST /v1/responses.",
    "/v1/moderations": f"{_NO_MODEL}.",
    "/v1/images": f"{_NO_MODEL}.",
    "/v1/audio": f"{_NO_MODEL}.",
    "/v1/videos": f"{_NO_MODEL}.",
    "/v1/realtime": f"{_NO_MODEL}, with `stream` for an answer piece by piece.",
    "/v1/fine_tuning": f"{_NO_MODEL}.",
    "/v1/evals": f"{_NO_MODEL}.",
    "/v1/containers": f"{_NO_MODEL}.",
    "/v1/assistants": f"{_BUILT_IN} {_ASK}; collections are vector stores.",
    "/v1/threads": f"{_BUILT_IN} {_ASK}; `previous_response_id` or `conversation` of a response goes on.",
    "/v1/conversations": "Conversations begin with a question and not by themselves: POST /v1/responses, whose "
    "`conversation` names the one it is in. GET /v1/conversations/{id} shows it, as Leadline has it and not OpenAI.",
    "/v1/uploads": "Uploads in parts are sent by tus 1.0.0 (`Tus-Resumable: 1.0.0`), and not as OpenAI has them. POST "
    "/v1/files takes a whole file.",
    "/v1/batches": "A batch here is of uploaded documents, not of requests as OpenAI has them. Ask many questions with "
    "POST /v1/responses and `background`.",
}


def get_alternative(path: str) -> str:
    """Return what is offered instead of a path of OpenAI's; empty for any other path."""
    return next((words for known, words in _ALTERNATIVES.items() if _is_below(path, known)), "")


def is_openai_path(path: str) -> bool:
    """True for a path that clients of OpenAI's API ask, whether it is offered or not."""
    return any(_is_below(path, known) for known in (*_OFFERED_PATHS, *_ALTERNATIVES))


def _is_below(path: str, known: str) -> bool:
    return path == known or path.startswith(f"{known}/")
