"""The pages of the portal: shells that hold nothing of a tenant's, and whose modules ask the REST API for everything.

So there is one place that decides what somebody may see. Pages load nothing from another origin, and run no script and
apply no style that is not a file of this package.
"""

from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api.access import Served
from api.admission import CALLER, SESSION
from api.portal.cookies import csrf_token
from ingest.identity import Principal

router = APIRouter(include_in_schema=False)

ASSETS = "/portal/assets"
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        # No text ever becomes HTML: modules make elements.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
}
_TEMPLATES = Environment(loader=PackageLoader("api.portal"), autoescape=True, undefined=StrictUndefined)
_VERSION = version("leadline")

DocumentId = Annotated[str, Path(max_length=64, pattern=r"^[\w-]+$")]


class _Assets(StaticFiles):
    """Files that a browser asks about each time and gets again only when they changed."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - Starlette's own
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response


def install(app: FastAPI) -> None:
    """Add the pages and their files."""
    app.include_router(router)
    app.mount(ASSETS, _Assets(packages=[("api.portal", "assets")]), name="portal-assets")


@router.get("/")
async def home(request: Request, served: Served) -> Response:
    """Lead to what somebody comes for: to the library while it is empty, and then to questions."""
    caller: Principal | None = request.scope.get(CALLER)
    if caller is None:
        return _to("/sign-in")
    found = await run_in_threadpool(served.catalog.documents, caller.tenant_id, limit=1, readers=caller.readers)
    return _to("/ask" if found else "/library")


@router.get("/sign-in")
async def sign_in(request: Request, served: Served) -> Response:
    """Ask for a key; a link with a ticket signs in by itself."""
    return _page(request, "sign_in.html", "Sign in", has_provider=served.tokens is not None)


@router.get("/library")
async def library(request: Request) -> Response:
    """Upload documents and find them again."""
    return _own(request, "library.html", "Library")


@router.get("/library/{document_id}")
async def document(request: Request, document_id: DocumentId) -> Response:
    """Read a document: its outline, its text, its history."""
    return _own(request, "document.html", "Document", document_id=document_id)


@router.get("/ask")
async def ask(request: Request) -> Response:
    """Begin a conversation."""
    return _own(request, "ask.html", "Ask", conversation_id="")


@router.get("/ask/{conversation_id}")
async def conversation(request: Request, conversation_id: DocumentId) -> Response:
    """Go on with a conversation."""
    return _own(request, "ask.html", "Ask", conversation_id=conversation_id)


def _own(request: Request, template: str, title: str, **members: object) -> Response:
    """Return a page for who is signed in, and lead everybody else to where one signs in."""
    return _page(request, template, title, **members) if request.scope.get(CALLER) else _to("/sign-in")


def _page(request: Request, template: str, title: str, **members: object) -> HTMLResponse:
    caller: Principal | None = request.scope.get(CALLER)
    secret: str | None = request.scope.get(SESSION)
    written = _TEMPLATES.get_template(template).render(
        title=title,
        assets=ASSETS,
        version=_VERSION,
        caller=caller,
        scopes=sorted(caller.scopes) if caller else [],
        csrf=csrf_token(secret) if secret else "",
        here=request.url.path,
        **members,
    )
    return HTMLResponse(written, headers=HEADERS)


def _to(path: str) -> Response:
    return RedirectResponse(path, 303)
