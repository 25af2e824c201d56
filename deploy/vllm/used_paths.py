"""A gate in front of a vLLM server: only the paths that Leadline uses, with the key, and Retry-After where it is full.

vLLM asks for its key only below `/v1`: `/metrics`, `/tokenize`, `/pooling`, `/score` and more are open to whoever
reaches the port. `start.py` adds this with `--middleware used_paths.UsedPaths`; it stands before vLLM's own.
"""

import hashlib
import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# What the model client, the encoder, the reranker, `leadline doctor` and monitoring ask for.
USED = {
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("POST", "/v1/embeddings"),
    *(("POST", f"{version}/{name}") for version in ("", "/v1") for name in ("rerank", "score")),
    ("POST", "/v2/rerank"),
    ("GET", "/metrics"),
    ("GET", "/version"),
}
# A probe has no key, and learns nothing but that the server lives.
_OPEN = {("GET", "/health")}
_KEY = "VLLM_API_KEY"
# vLLM refuses what exceeds its queue with 503 and names no time; a place is free again after about one answer.
_RETRY_SECONDS = b"2"


class UsedPaths:
    """An ASGI middleware: `404` for all other paths, `401` without the key of `VLLM_API_KEY` if that is set."""

    def __init__(self, app: App) -> None:
        self._app = app
        key = os.environ.get(_KEY, "")
        self._expected = hashlib.sha256(f"Bearer {key}".encode()).digest() if key else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _with_retry_after(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(send, *refusal)

    def _refusal(self, scope: Message) -> tuple[int, bytes] | None:
        request = (scope.get("method", ""), scope["path"])
        if scope["type"] == "http" and request in _OPEN:
            return None
        # guard: vllm-unused-paths-closed
        if scope["type"] != "http" or request not in USED:
            return 404, b'{"error":{"message":"Leadline does not use this path, so it is closed.","code":404}}'
        # guard: vllm-paths-need-key
        if self._expected is not None and not secrets.compare_digest(_authorization(scope), self._expected):
            return 401, b'{"error":{"message":"The key is missing or wrong.","code":401}}'
        return None


def _authorization(scope: Message) -> bytes:
    sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return hashlib.sha256(sent).digest()


def _with_retry_after(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 503:
            headers = list(message.get("headers", ()))
            if not any(name.lower() == b"retry-after" for name, _ in headers):
                message = {**message, "headers": [*headers, (b"retry-after", _RETRY_SECONDS)]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
