"""ASGI middleware that filters requests to a vLLM server.

It passes only the paths that Leadline uses, and requires the API key for them. vLLM itself checks its key only under
`/v1`, so other paths, such as `/metrics`, `/tokenize`, `/pooling` and `/score`, would be open to anyone who can reach
the port. `start.py` adds the middleware with `--middleware used_paths.UsedPaths`, and it runs before vLLM's own. It
also adds `Retry-After` to responses when the server's queue is full.
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

# Methods and paths of requests from the model client, the encoder, the reranker, `leadline doctor` and monitoring.
USED_PATHS = {
    ("POST", "/v1/chat/completions"),
    ("GET", "/v1/models"),
    ("POST", "/v1/embeddings"),
    *(("POST", f"{version}/{name}") for version in ("", "/v1") for name in ("rerank", "score")),
    ("POST", "/v2/rerank"),
    ("GET", "/metrics"),
    ("GET", "/version"),
}
# Paths that need no key. Probes send no key, and this path only tells them whether the server is alive.
_OPEN_PATHS = {("GET", "/health")}
_KEY_VARIABLE = "VLLM_API_KEY"
# The `Retry-After` that is added to a 503 response. If vLLM's queue is full, it responds with 503 but without this
# header, and a slot becomes free after about one answer.
_RETRY_SECONDS = b"2"


class UsedPaths:
    """ASGI middleware that responds with 404 to unused paths, and with 401 if `VLLM_API_KEY` is set but not sent."""

    def __init__(self, app: App) -> None:
        self._app = app
        key = os.environ.get(_KEY_VARIABLE, "")
        self._expected = hashlib.sha256(f"Bearer {key}".encode()).digest() if key else None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Forward a request to the server, or reject it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._find_refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _with_retry_after(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _send_refusal(send, *refusal)

    def _find_refusal(self, scope: Message) -> tuple[int, bytes] | None:
        request = (scope.get("method", ""), scope["path"])
        if scope["type"] == "http" and request in _OPEN_PATHS:
            return None
        # guard: vllm-unused-paths-closed
        if scope["type"] != "http" or request not in USED_PATHS:
            return 404, b'{"error":{"message":"This path is blocked because Leadline does not use it.","code":404}}'
        # guard: vllm-paths-need-key
        if self._expected is not None and not secrets.compare_digest(_hash_authorization(scope), self._expected):
            return 401, b'{"error":{"message":"The API key is missing or invalid.","code":401}}'
        return None


def _hash_authorization(scope: Message) -> bytes:
    sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return hashlib.sha256(sent).digest()


def _with_retry_after(send: Send) -> Send:
    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 503:
            headers = list(message.get("headers", ()))
            if not any(name.lower() == b"retry-after" for name, _ in headers):
                message = {**message, "headers": [*headers, (b"retry-after", _RETRY_SECONDS)]}
        await send(message)

    return send_with_header


async def _send_refusal(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
