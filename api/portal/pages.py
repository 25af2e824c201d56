"""The pages of the portal. They contain no tenant data; their scripts load everything from the REST API.

Access is therefore checked in one place, the API. Pages load nothing from other origins, and use only the scripts and
styles in this package.
"""

import gzip
import hashlib
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from api.admission.access import KeyThreads, ServicesDep
from api.admission.cookies import SessionCookie
from api.admission.services import Services
from api.http.middleware import CALLER
from api.http.problems import get_status
from api.languages import catalogue
from api.portal import provider
from api.portal.links import get_own_url
from api.portal.modules import is_module, list_page_modules
from api.portal.problem_texts import describe_sign_in_error
from api.portal.rendering import ASSETS, HEADERS, get_texts, render_page
from api.portal.sessions import start_session
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.errors import LeadlineError

router = APIRouter(include_in_schema=False)

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


def t(text: str) -> str:
    """Mark a title for the catalogue. It is translated when a page is rendered."""
    return text


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


@router.get("/portal/texts/{language}/of/settings.js")
async def texts_of_settings(request: Request, language: str) -> Response:
    """Return a script with the descriptions of settings in a language, which only the settings page uses."""
    return _respond_with_script(request, language, "")


@router.get("/portal/texts/{language}/{entry}.js")
async def texts(request: Request, language: str, entry: str) -> Response:
    """Return a script with the texts in a language that a page needs, given the name of the page's module."""
    if not is_module(entry):
        return Response(status_code=404)
    return _respond_with_script(request, language, entry)


def _respond_with_script(request: Request, language: str, entry: str) -> Response:
    if language not in catalogue.LANGUAGES:
        return Response(status_code=404)
    script, compressed, tag = _compress_script(language, entry)
    headers = {
        "ETag": tag,
        "Cache-Control": "no-cache",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Vary": "Accept-Encoding",
    }
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return Response(compressed, media_type="text/javascript", headers={**headers, "Content-Encoding": "gzip"})
    return Response(script, media_type="text/javascript", headers=headers)


@cache
def _compress_script(language: str, entry: str) -> tuple[bytes, bytes, str]:
    """Return a script with texts in a language, the compressed script, and its entity tag.

    `entry` is the name of the page's module, or empty for the descriptions of settings.
    """
    found = catalogue.Texts(language)
    script = (found.build_script(list_page_modules(entry)) if entry else found.build_settings_script()).encode()
    # A weak tag, because both forms of the script have it (RFC 9110, section 8.8.3).
    return script, gzip.compress(script, mtime=0), f'W/"{hashlib.sha256(script).hexdigest()[:32]}"'


@router.get("/sign-in")
async def sign_in(request: Request, served: ServicesDep) -> Response:
    """Show the sign-in page. A link that contains a ticket signs in without asking for a key."""
    return _render_sign_in(request, served, return_path=request.query_params.get("to", provider.HOME))


@router.get("/sign-in/provider")
async def provider_sign_in(
    request: Request,
    served: ServicesDep,
    threads: KeyThreads,
    code: Annotated[str, Query(max_length=4_096)] = "",
    state: Annotated[str, Query(max_length=200)] = "",
    error: str = "",
    error_description: str = "",
    to: str = provider.HOME,
) -> Response:
    """Redirect to the identity provider, or sign in a person whom the provider has sent back.

    Errors are shown on the sign-in page.
    """
    if not provider.is_sign_in_configured(served.settings, served.admission.tokens):
        return _redirect_to("/sign-in")
    cookie, callback_url = SessionCookie.from_settings(served.settings), _build_callback_url(request, served)
    flow = provider.SignInFlow.parse(request.cookies.get(cookie.flow_cookie_name)) if code or error else None
    try:
        cookie.require_secure_host(request.scope)
        if error:
            provider.refuse_sign_in(flow, state, error, error_description)
        if code:
            secret = await threads.run(_start_session, served, flow, state, code, callback_url)
            response = _redirect_to(flow.return_path if flow else provider.HOME)
            cookie.write_secret(response, secret)
        else:
            flow = provider.SignInFlow.start(to)
            response = RedirectResponse(
                await threads.run(provider.build_authorization_url, served.settings, flow, callback_url),
                303,
                headers=HEADERS,
            )
            cookie.write_sign_in_flow(response, str(flow), provider.FLOW_SECONDS)
    except LeadlineError as refused:
        response = _render_sign_in(request, served, refused, flow.return_path if flow else to)
        response.status_code = get_status(refused)
    if code or error:
        cookie.clear_sign_in_flow(response)
    return response


def _build_callback_url(request: Request, services: Services) -> str:
    return f"{get_own_url(services.settings, request.scope)}{provider.CALLBACK}"


def _start_session(
    services: Services, flow: provider.SignInFlow | None, state: str, code: str, callback_url: str
) -> str:
    return start_session(services, *provider.authenticate_caller(services, flow, state, code, callback_url))


def _render_sign_in(
    request: Request, services: Services, error: LeadlineError | None = None, return_path: str = provider.HOME
) -> Response:
    return render_page(
        request,
        "sign_in.html",
        get_texts(request).translate("Sign in"),
        has_provider=services.admission.tokens is not None,
        provider_link=f"{provider.CALLBACK}?{urlencode({'to': provider.to_own_path(return_path)})}"
        if provider.is_sign_in_configured(services.settings, services.admission.tokens)
        else "",
        shown=describe_sign_in_error(get_texts(request), error) if error else None,
        details=" ".join(error.public_message) if error else "",
    )


@router.get("/library")
async def library(request: Request) -> Response:
    """Show the library, for uploading and finding documents."""
    return _render_private_page(request, "library.html", t("Library"))


@router.get("/library/{document_id}")
async def document(request: Request, served: ServicesDep, document_id: Id) -> Response:
    """Show a document with its outline, text and history."""
    catalog = served.documents.catalog
    await _check_exists(
        request, lambda caller: catalog.load_document(caller.tenant_id, document_id, readers=caller.readers)
    )
    return _render_private_page(request, "document.html", t("Document"), document_id=document_id)


@router.get("/ask")
async def ask(request: Request) -> Response:
    """Show a new conversation."""
    return _render_private_page(request, "ask.html", t("Ask"), conversation_id="")


@router.get("/ask/{conversation_id}")
async def conversation(request: Request, served: ServicesDep, conversation_id: Id) -> Response:
    """Show an existing conversation."""
    found = served.answers.conversations
    await _check_exists(
        request, lambda caller: found.load_conversation(caller.tenant_id, conversation_id, caller.visible_owner)
    )
    return _render_private_page(request, "ask.html", t("Ask"), conversation_id=conversation_id)


@router.get("/runs")
async def runs(request: Request) -> Response:
    """List background runs."""
    return _render_private_page(request, "runs.html", t("Runs"), run_id="")


@router.get("/runs/{run_id}")
async def run(request: Request, served: ServicesDep, run_id: Id) -> Response:
    """Show a background run and its progress."""
    found = served.answers.runs
    await _check_exists(request, lambda caller: found.load_run(caller.tenant_id, run_id, caller.visible_owner))
    return _render_private_page(request, "runs.html", t("Runs"), run_id=run_id)


@router.get("/shared/{share_id}")
async def shared(request: Request, served: ServicesDep, share_id: Id) -> Response:
    """Show a conversation that a colleague has shared by link."""
    await _check_exists(request, lambda caller: served.answers.shares.load_share(caller.tenant_id, share_id))
    return _render_private_page(request, "shared.html", t("Shared"), share_id=share_id)


@router.get("/usage")
async def usage(request: Request) -> Response:
    """Show usage and remaining quotas."""
    return _render_private_page(request, "usage.html", t("Usage"), needs=Scope.READ)


@router.get("/keys")
async def keys(request: Request) -> Response:
    """Create, rotate and revoke API keys."""
    return _render_private_page(request, "keys.html", t("Keys"), needs=Scope.ADMIN)


@router.get("/people")
async def people(request: Request) -> Response:
    """Add people, create sign-in links, and manage access to collections."""
    return _render_private_page(request, "people.html", t("People"), needs=Scope.ADMIN)


@router.get("/sources")
async def sources(request: Request) -> Response:
    """Add, run, pause and remove sources, and show their history."""
    return _render_private_page(request, "sources.html", t("Sources"), needs=Scope.ADMIN)


@router.get("/audit")
async def audit(request: Request) -> Response:
    """Show and verify the audit log."""
    return _render_private_page(request, "audit.html", t("Audit"), needs=Scope.ADMIN)


@router.get("/feedback")
async def feedback(request: Request) -> Response:
    """Show the feedback that people gave on answers."""
    return _render_private_page(request, "feedback.html", t("Feedback"), needs=Scope.ADMIN)


@router.get("/settings")
async def settings(request: Request) -> Response:
    """Show the settings in force, and change quotas."""
    return _render_private_page(request, "settings.html", t("Settings"), needs=Scope.ADMIN)


@router.get("/slack")
async def slack(request: Request) -> Response:
    """Show the state of the Slack bot, and how to set it up."""
    return _render_private_page(request, "slack.html", t("Slack"), needs=Scope.ADMIN)


async def _check_exists(request: Request, load: Callable[[Principal], object]) -> None:
    """Raise the error of `load` if a signed-in caller cannot see the page's object."""
    caller: Principal | None = request.scope.get(CALLER)
    if caller is not None:
        await run_in_threadpool(load, caller)


def _render_private_page(request: Request, template: str, title: str, **variables: object) -> Response:
    """Render a page for a signed-in caller.

    Other callers are redirected to the sign-in page, and then back to this page.
    """
    if request.scope.get(CALLER):
        return render_page(request, template, get_texts(request).translate(title), **variables)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return _redirect_to(f"{provider.SIGN_IN}?{urlencode({'to': here[: provider.MAX_RETURN_CHARS]})}")


def _redirect_to(path: str) -> Response:
    return RedirectResponse(path, 303)
