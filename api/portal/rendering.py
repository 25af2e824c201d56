"""Renders the HTML pages of the portal, in the language and with the preferences of the browser that asks."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from api.admission.admission import SESSION
from api.admission.cookies import compute_csrf_token
from api.http.middleware import CALLER
from api.languages import catalogue
from api.portal.problem_texts import describe_problem
from ingest.storage.accounts.records import Principal, Scope

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
_VERSION = version("leadline")
# Values that a preference's cookie may have. Other values have no effect.
_PREFERENCES = {"theme": ("light", "dark"), "density": ("compact",)}
# Only programs call these paths, and expect problems as JSON.
_PROGRAM_PATHS = ("/mcp", "/slack/", "/health/", "/metrics", "/portal/")


def render_page(request: Request, template: str, title: str, **variables: object) -> HTMLResponse:
    """Render a template. `title` is the title of the page in its language."""
    caller: Principal | None = request.scope.get(CALLER)
    secret: str | None = request.scope.get(SESSION)
    texts = get_texts(request)
    written = _TEMPLATES.get_template(template).render(
        t=texts.translate,
        tn=texts.translate_count,
        icon=_render_icon,
        language=texts.language,
        languages=catalogue.LANGUAGES,
        title=title,
        assets=ASSETS,
        version=_VERSION,
        caller=caller,
        scopes=sorted(caller.scopes) if caller else [],
        permissions=_name_permissions(texts, caller) if caller else [],
        csrf=compute_csrf_token(secret) if secret else "",
        here=request.url.path,
        **_read_preferences(request),
        **variables,
    )
    # guard: portal-csp
    return HTMLResponse(written, headers=HEADERS)


def render_problem_page(request: Request, problem: Mapping[str, Any]) -> HTMLResponse | None:
    """Render a problem as a page, or return None for clients that do not ask for HTML.

    `problem` has the members of a problem (RFC 9457) with `code`, `detail`, `hint` and `request_id`.
    """
    # guard: problem-page-for-browsers
    if not _wants_page(request):
        return None
    shown = describe_problem(get_texts(request), str(problem["code"]), int(problem["status"]))
    page = render_page(request, "problem.html", shown.title, shown=shown, problem=problem)
    page.status_code = shown.status
    return page


def get_texts(request: Request) -> catalogue.Texts:
    """Return the texts in the language of the browser that sent the request."""
    chosen, accepted = request.cookies.get(catalogue.COOKIE), request.headers.get("Accept-Language")
    return catalogue.Texts(catalogue.choose_language(chosen, accepted))


def _name_permissions(texts: catalogue.Texts, caller: Principal) -> list[str]:
    """Return the names of the caller's permissions, as the page "Keys" names them."""
    t = texts.translate
    names = {
        Scope.READ: t("Read"),
        Scope.ASK: t("Ask"),
        Scope.WRITE: t("Write"),
        Scope.ADMIN: t("Administer"),
        Scope.OPERATOR: t("Operate"),
    }
    return [name.lower() for scope, name in names.items() if scope in caller.scopes]


def _wants_page(request: Request) -> bool:
    if "text/html" not in request.headers.get("Accept", "") or request.method not in ("GET", "HEAD"):
        return False
    return not request.url.path.startswith(_PROGRAM_PATHS)


def _read_preferences(request: Request) -> dict[str, str]:
    """Return what a person has chosen in this browser, by name; an empty string where nothing was chosen."""
    chosen = {name: request.cookies.get(f"leadline-{name}", "") for name in _PREFERENCES}
    # guard: preference-values
    return {name: value if value in _PREFERENCES[name] else "" for name, value in chosen.items()}


def _render_icon(name: str) -> Markup:
    """Return the HTML of an icon of `icons.svg`, which screen readers skip."""
    use = Markup('<use href="{}/icons.svg#{}"/>').format(ASSETS, name)
    return Markup('<svg class="icon" aria-hidden="true">{}</svg>').format(use)
