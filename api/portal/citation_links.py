"""Links of citations: programs get the text from the API, and people get the page of the portal that shows it."""

import re
from urllib.parse import parse_qs, urlencode

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_LINK = re.compile(r"/v1/documents/([^/]+)/content")


class CitationLinks:
    """Redirects browsers that open a citation's link to the page that shows the span. Pure ASGI.

    The page itself asks people to sign in. A request with a key is a program's, whatever it accepts.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        link = _LINK.fullmatch(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        headers = dict(scope.get("headers", ()))
        if link is None or b"authorization" in headers or b"text/html" not in headers.get(b"accept", b""):
            await self._app(scope, receive, send)
            return
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        span = urlencode({name: asked[name][0] for name in ("start", "end") if name in asked})
        page = f"/library/{link[1]}" + (f"?{span}" if span else "")
        await RedirectResponse(page, 303, headers={"Vary": "Accept, Authorization"})(scope, receive, send)
