"""The pages of the portal. They contain no tenant data; their scripts load everything from the REST API.

Access is therefore checked in one place, the API. Pages load nothing from other origins, and use only the scripts and
styles in this package.
"""

import hashlib
from importlib.metadata import version
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api.admission.access import KeyThreads, ServicesDep
from api.admission.admission import SESSION
from api.admission.cookies import SessionCookie, compute_csrf_token
from api.admission.services import Services
from api.http.middleware import CALLER
from api.http.problems import UnauthorizedError, get_status
from api.languages import catalogue
from api.portal import provider
from api.portal.links import get_own_url
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
        # Scripts create elements, and never convert text to HTML. The browser enforces this rule with Trusted Types.
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
# Values that a preference's cookie may have. Other values have no effect.
_PREFERENCES = {"theme": ("light", "dark"), "density": ("compact",)}
_VERSION = version("leadline")
_MAX_RETURN_CHARS = 1_000

Id = Annotated[str, Path(max_length=64, pattern=r"^[\w-]+$")]


class _Assets(StaticFiles):
    """Serves static files.

    Browsers check a file for changes on each use, and download it again only if it has changed.
    """

    def file_response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - Starlette's arguments
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response


def install_pages(app: FastAPI) -> None:
    """Add the pages and static files of the portal to the application."""
    app.include_router(router)
    assets = GZipMiddleware(_Assets(packages=[("api.portal", "assets")]))
    app.mount(ASSETS, assets, name="portal-assets")


@router.get("/")
async def home(request: Request, served: ServicesDep) -> Response:
    """Redirect to the library if it is empty, or to the questions page if it contains documents."""
    caller: Principal | None = request.scope.get(CALLER)
    if caller is None:
        return _redirect_to("/sign-in")
    found = await run_in_threadpool(
        served.documents.catalog.list_documents, caller.tenant_id, limit=1, readers=caller.readers
    )
    return _redirect_to("/ask" if found else "/library")


@router.get("/portal/texts/{language}.js")
async def texts(request: Request, language: str) -> Response:
    """Return a script with the texts in a language, which the modules of the portal use."""
    if language not in catalogue.LANGUAGES:
        return Response(status_code=404)
    script = catalogue.Texts(language).build_script()
    tag = f'"{hashlib.sha256(script.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache", "Cross-Origin-Resource-Policy": "same-origin"}
    if request.headers.get("If-None-Match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(script, media_type="text/javascript", headers=headers)


@router.get("/sign-in")
async def sign_in(request: Request, served: ServicesDep) -> Response:
    """Show the sign-in page. A link that contains a ticket signs in without asking for a key."""
    return _render_sign_in(request, served)


@router.get("/sign-in/provider")
async def provider_sign_in(
    request: Request,
    served: ServicesDep,
    threads: KeyThreads,
    code: Annotated[str, Query(max_length=4_096)] = "",
    state: Annotated[str, Query(max_length=200)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Redirect to the identity provider, or sign in a person whom the provider has sent back.

    Errors are shown on the sign-in page.
    """
    if not provider.is_sign_in_configured(served.settings, served.admission.tokens):
        return _redirect_to("/sign-in")
    cookie, callback_url = SessionCookie.from_settings(served.settings), _build_callback_url(request, served)
    try:
        cookie.require_secure_host(request.scope)
        if error:
            raise UnauthorizedError("The identity provider did not sign you in.", hint="Try again, or ask its admin.")
        if code:
            flow = provider.SignInFlow.parse(request.cookies.get(cookie.flow_cookie_name))
            secret = await threads.run(_start_session, served, flow, state, code, callback_url)
            response = _redirect_to("/")
            cookie.write_secret(response, secret)
        else:
            flow = provider.SignInFlow.start()
            response = RedirectResponse(
                await threads.run(provider.build_authorization_url, served.settings, flow, callback_url),
                303,
                headers=HEADERS,
            )
            cookie.write_sign_in_flow(response, str(flow), provider.FLOW_SECONDS)
    except LeadlineError as refused:
        response = _render_sign_in(request, served, refused)
        response.status_code = get_status(refused)
    if code or error:
        cookie.clear_sign_in_flow(response)
    return response


def _build_callback_url(request: Request, services: Services) -> str:
    return f"{get_own_url(services.settings, request.scope)}{provider.CALLBACK}"


def _start_session(
    services: Services, flow: provider.SignInFlow | None, state: str, code: str, callback_url: str
) -> str:
    return start_session(services, provider.authenticate_caller(services, flow, state, code, callback_url))


def _render_sign_in(request: Request, services: Services, error: LeadlineError | None = None) -> Response:
    detail, hint = error.public_message if error else ("", "")
    return _render_page(
        request,
        "sign_in.html",
        "Sign in",
        has_provider=services.admission.tokens is not None,
        provider_link=provider.CALLBACK
        if provider.is_sign_in_configured(services.settings, services.admission.tokens)
        else "",
        detail=detail,
        hint=hint,
    )


@router.get("/library")
async def library(request: Request) -> Response:
    """Show the library, for uploading and finding documents."""
    return _render_private_page(request, "library.html", "Library")


@router.get("/library/{document_id}")
async def document(request: Request, document_id: Id) -> Response:
    """Show a document with its outline, text and history."""
    return _render_private_page(request, "document.html", "Document", document_id=document_id)


@router.get("/ask")
async def ask(request: Request) -> Response:
    """Show a new conversation."""
    return _render_private_page(request, "ask.html", "Ask", conversation_id="")


@router.get("/ask/{conversation_id}")
async def conversation(request: Request, conversation_id: Id) -> Response:
    """Show an existing conversation."""
    return _render_private_page(request, "ask.html", "Ask", conversation_id=conversation_id)


@router.get("/runs")
async def runs(request: Request) -> Response:
    """List background runs."""
    return _render_private_page(request, "runs.html", "Background work", run_id="")


@router.get("/runs/{run_id}")
async def run(request: Request, run_id: Id) -> Response:
    """Show a background run and its progress."""
    return _render_private_page(request, "runs.html", "Background work", run_id=run_id)


@router.get("/shared/{share_id}")
async def shared(request: Request, share_id: Id) -> Response:
    """Show a conversation that a colleague has shared by link."""
    return _render_private_page(request, "shared.html", "Shared", share_id=share_id)


@router.get("/usage")
async def usage(request: Request) -> Response:
    """Show usage and remaining quotas."""
    return _render_private_page(request, "usage.html", "Usage", needs=Scope.READ)


@router.get("/keys")
async def keys(request: Request) -> Response:
    """Create, rotate and revoke API keys."""
    return _render_private_page(request, "keys.html", "Keys", needs=Scope.ADMIN)


@router.get("/people")
async def people(request: Request) -> Response:
    """Add people, create sign-in links, and manage access to collections."""
    return _render_private_page(request, "people.html", "People", needs=Scope.ADMIN)


@router.get("/audit")
async def audit(request: Request) -> Response:
    """Show and verify the audit log."""
    return _render_private_page(request, "audit.html", "Audit", needs=Scope.ADMIN)


@router.get("/feedback")
async def feedback(request: Request) -> Response:
    """Show the feedback that people gave on answers."""
    return _render_private_page(request, "feedback.html", "Feedback", needs=Scope.ADMIN)


@router.get("/settings")
async def settings(request: Request) -> Response:
    """Show the settings in force, and change quotas."""
    return _render_private_page(request, "settings.html", "Settings", needs=Scope.ADMIN)


@router.get("/slack")
async def slack(request: Request) -> Response:
    """Show the state of the Slack bot, and how to set it up."""
    return _render_private_page(request, "slack.html", "Slack", needs=Scope.ADMIN)


def _render_private_page(request: Request, template: str, title: str, **variables: object) -> Response:
    """Render a page for a signed-in caller.

    Other callers are redirected to the sign-in page, and then back to this page.
    """
    if request.scope.get(CALLER):
        return _render_page(request, template, title, **variables)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return _redirect_to(f"/sign-in?{urlencode({'to': here[:_MAX_RETURN_CHARS]})}")


def _render_page(request: Request, template: str, title: str, **variables: object) -> HTMLResponse:
    caller: Principal | None = request.scope.get(CALLER)
    secret: str | None = request.scope.get(SESSION)
    language = catalogue.choose_language(request.cookies.get(catalogue.COOKIE), request.headers.get("Accept-Language"))
    texts = catalogue.Texts(language)
    written = _TEMPLATES.get_template(template).render(
        t=texts.translate,
        tn=texts.translate_count,
        icon=_render_icon,
        language=language,
        languages=catalogue.LANGUAGES,
        **_read_preferences(request),
        title=texts.translate(title),
        assets=ASSETS,
        version=_VERSION,
        caller=caller,
        scopes=sorted(caller.scopes) if caller else [],
        csrf=compute_csrf_token(secret) if secret else "",
        here=request.url.path,
        **variables,
    )
    # guard: portal-csp
    return HTMLResponse(written, headers=HEADERS)


def _read_preferences(request: Request) -> dict[str, str]:
    """Return what a person has chosen in this browser, by name; an empty string where nothing was chosen."""
    chosen = {name: request.cookies.get(f"leadline-{name}", "") for name in _PREFERENCES}
    return {name: value if value in _PREFERENCES[name] else "" for name, value in chosen.items()}


def _render_icon(name: str) -> Markup:
    """Return the HTML of an icon of `icons.svg`, which screen readers skip."""
    use = Markup('<use href="{}/icons.svg#{}"/>').format(ASSETS, name)
    return Markup('<svg class="icon" aria-hidden="true">{}</svg>').format(use)


def _redirect_to(path: str) -> Response:
    return RedirectResponse(path, 303)
