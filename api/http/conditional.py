"""Conditional requests (RFC 9110): a client that has the current content of a resource gets `304` without a body."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Headers that describe the body, which a 304 lacks.
_OF_BODY = (b"content-length", b"content-type")


def has_current_content(if_none_match: str, etag: str) -> bool:
    """Return True if an `If-None-Match` header names the tag, by weak comparison (RFC 9110, 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    return etag.removeprefix("W/") in {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}


class ConditionalResponses:
    """Follows `If-None-Match` for every GET and HEAD whose response has an `ETag`. Pure ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = dict(scope.get("headers", ())).get(b"if-none-match", b"").decode("latin-1")
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD") or not known:
            await self._app(scope, receive, send)
            return
        is_unchanged = False

        async def send_if_changed(message: Message) -> None:
            nonlocal is_unchanged
            if message["type"] == "http.response.start":
                etag = dict(message["headers"]).get(b"etag", b"").decode("latin-1")
                is_unchanged = message["status"] == 200 and bool(etag) and has_current_content(known, etag)
                if is_unchanged:
                    kept = [header for header in message["headers"] if header[0] not in _OF_BODY]
                    message = {**message, "status": 304, "headers": kept}
            elif is_unchanged:
                if message.get("more_body", False):
                    return
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, receive, send_if_changed)
