"""The pages of the portal: shells that hold nothing of a tenant's, and whose modules ask the REST API for everything.

So there is one place that decides what somebody may see. Pages load nothing from another origin, and run no script and
apply no style that is not a file of this package.
"""

from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api.admission.access import KeyThreads, Served
from api.admission.admission import SESSION
from api.admission.cookies import SessionCookie, compute_csrf_token
from api.admission.services import Services
from api.http.middleware import CALLER
from api.http.problems import UnauthorizedError, get_status
from api.portal import provider
from api.portal.links import get_own_address
from api.portal.sessions import start_session
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.errors import LeadlineError

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
_MAX_RETURN_CHARS = 1_000

Id = Annotated[str, Path(max_length=64, pattern=r"^[\w-]+$")]


class _Assets(StaticFiles):
    """Files that a browser asks about each time and gets again only when they changed."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - Starlette's own
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response


def install_pages(app: FastAPI) -> None:
    """Add the pages and their files."""
    app.include_router(router)
    app.mount(ASSETS, _Assets(packages=[("api.portal", "assets")]), name="portal-assets")


@router.get("/")
async def home(request: Request, served: Served) -> Response:
    """Lead to what somebody comes for: to the library while it is empty, and then to questions."""
    caller: Principal | None = request.scope.get(CALLER)
    if caller is None:
        return _redirect_to("/sign-in")
    found = await run_in_threadpool(
        served.documents.catalog.list_documents, caller.tenant_id, limit=1, readers=caller.readers
    )
    return _redirect_to("/ask" if found else "/library")


@router.get("/sign-in")
async def sign_in(request: Request, served: Served) -> Response:
    """Ask for a key; a link with a ticket signs in by itself."""
    return _render_sign_in(request, served)


@router.get("/sign-in/provider")
async def provider_sign_in(
    request: Request,
    served: Served,
    threads: KeyThreads,
    code: Annotated[str, Query(max_length=4_096)] = "",
    state: Annotated[str, Query(max_length=200)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Lead to the identity provider, and take who comes back from there.

    Whatever goes wrong is told on the page on which one signs in.
    """
    if not provider.is_configured(served.settings, served.admission.tokens):
        return _redirect_to("/sign-in")
    cookie, back = SessionCookie.from_settings(served.settings), _build_callback_url(request, served)
    try:
        cookie.require_secure_host(request.scope)
        if error:
            raise UnauthorizedError("The identity provider did not sign you in.", hint="Try again, or ask its admin.")
        if code:
            flow = provider.SignInFlow.parse(request.cookies.get(cookie.flow_name))
            secret = await threads.run(_start_session, served, flow, state, code, back)
            response = _redirect_to("/")
            cookie.write(response, secret)
        else:
            flow = provider.SignInFlow.start()
            response = RedirectResponse(
                await threads.run(provider.build_authorization_url, served.settings, flow, back), 303, headers=HEADERS
            )
            cookie.write_flow(response, str(flow), provider.FLOW_SECONDS)
    except LeadlineError as refused:
        response = _render_sign_in(request, served, refused)
        response.status_code = get_status(refused)
    if code or error:
        cookie.clear_flow(response)
    return response


def _build_callback_url(request: Request, served: Services) -> str:
    return f"{get_own_address(served.settings, request.scope)}{provider.CALLBACK}"


def _start_session(served: Services, flow: provider.SignInFlow | None, state: str, code: str, back: str) -> str:
    return start_session(served, provider.authenticate_caller(served, flow, state, code, back))


def _render_sign_in(request: Request, served: Services, refused: LeadlineError | None = None) -> Response:
    detail, hint = refused.public_message if refused else ("", "")
    return _render_page(
        request,
        "sign_in.html",
        "Sign in",
        has_provider=served.admission.tokens is not None,
        provider_link=provider.CALLBACK if provider.is_configured(served.settings, served.admission.tokens) else "",
        detail=detail,
        hint=hint,
    )


@router.get("/library")
async def library(request: Request) -> Response:
    """Upload documents and find them again."""
    return _render_private_page(request, "library.html", "Library")


@router.get("/library/{document_id}")
async def document(request: Request, document_id: Id) -> Response:
    """Read a document: its outline, its text, its history."""
    return _render_private_page(request, "document.html", "Document", document_id=document_id)


@router.get("/ask")
async def ask(request: Request) -> Response:
    """Begin a conversation."""
    return _render_private_page(request, "ask.html", "Ask", conversation_id="")


@router.get("/ask/{conversation_id}")
async def conversation(request: Request, conversation_id: Id) -> Response:
    """Go on with a conversation."""
    return _render_private_page(request, "ask.html", "Ask", conversation_id=conversation_id)


@router.get("/runs")
async def runs(request: Request) -> Response:
    """List answers that are made in the background."""
    return _render_private_page(request, "runs.html", "Background work", run_id="")


@router.get("/runs/{run_id}")
async def run(request: Request, run_id: Id) -> Response:
    """Follow one of them."""
    return _render_private_page(request, "runs.html", "Background work", run_id=run_id)


@router.get("/shared/{share_id}")
async def shared(request: Request, share_id: Id) -> Response:
    """Read what somebody of the tenant shows by a link."""
    return _render_private_page(request, "shared.html", "Shared", share_id=share_id)


@router.get("/usage")
async def usage(request: Request) -> Response:
    """Show what was used, and what is left."""
    return _render_private_page(request, "usage.html", "Usage", needs=Scope.READ)


@router.get("/keys")
async def keys(request: Request) -> Response:
    """Make, rotate and revoke API keys."""
    return _render_private_page(request, "keys.html", "Keys", needs=Scope.ADMIN)


@router.get("/people")
async def people(request: Request) -> Response:
    """Add people, sign them in, and say who may use which collection."""
    return _render_private_page(request, "people.html", "People", needs=Scope.ADMIN)


@router.get("/audit")
async def audit(request: Request) -> Response:
    """Read who did what, and check that it is as it was written."""
    return _render_private_page(request, "audit.html", "Audit", needs=Scope.ADMIN)


def _render_private_page(request: Request, template: str, title: str, **members: object) -> Response:
    """Return a page for who is signed in, and lead everybody else to where one signs in, and from there back."""
    if request.scope.get(CALLER):
        return _render_page(request, template, title, **members)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return _redirect_to(f"/sign-in?{urlencode({'to': here[:_MAX_RETURN_CHARS]})}")


def _render_page(request: Request, template: str, title: str, **members: object) -> HTMLResponse:
    caller: Principal | None = request.scope.get(CALLER)
    secret: str | None = request.scope.get(SESSION)
    written = _TEMPLATES.get_template(template).render(
        title=title,
        assets=ASSETS,
        version=_VERSION,
        caller=caller,
        scopes=sorted(caller.scopes) if caller else [],
        csrf=compute_csrf_token(secret) if secret else "",
        here=request.url.path,
        **members,
    )
    # guard: portal-csp
    return HTMLResponse(written, headers=HEADERS)


def _redirect_to(path: str) -> Response:
    return RedirectResponse(path, 303)
