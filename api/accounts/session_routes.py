"""`/v1/sign-in`, `/v1/sign-out` and `/v1/session`: starts, closes and shows browser sessions."""

from datetime import datetime
from typing import Any, Self
from urllib.parse import parse_qs

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field, model_validator
from starlette.responses import Response

from api.accounts.schemas import PrincipalOut
from api.admission.access import Anybody, KeyThreads, ServicesDep
from api.admission.admission import SESSION
from api.admission.cookies import SessionCookie, compute_csrf_token, require_same_origin
from api.admission.services import Services
from api.http.problems import BadRequestError, UnauthorizedError
from api.http.wire import Wire
from api.portal.links import get_own_url
from api.portal.provider import SIGN_IN, build_sign_out_url
from api.portal.sessions import start_session
from ingest.storage.accounts.records import Principal

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1", tags=["sessions"])
_LOGOUT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "properties": {"logout_token": {"type": "string"}},
                    "required": ["logout_token"],
                }
            }
        },
    }
}


class SignInIn(Wire):
    """A sign-in with an API key, a token of the identity provider, or the ticket from a one-time link."""

    key: str | None = Field(None, min_length=1, max_length=16_384)
    ticket: str | None = Field(None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _require_one_credential(self) -> Self:
        if (self.key is None) == (self.ticket is None):
            raise ValueError("send either `key` or `ticket`, not both")
        return self


class SignOutIn(Wire):
    """A sign-out. With `everywhere`, it closes all of the caller's sessions on all devices.

    With `at_provider`, the response names the address where the browser signs out at the identity provider, too.
    """

    everywhere: bool = False
    at_provider: bool = False


class SignOutOut(Wire):
    """The address at which the browser continues a sign-out at the identity provider.

    `continue_at` is null if the provider did not start the session, or offers no sign-out.
    """

    continue_at: str | None


class SessionOut(Wire):
    """The caller of the session. Send `csrf` as `X-CSRF-Token` with every request that changes something.

    `csrf` is null if a key or token was sent instead of a session cookie. `ends_at` is the time at which the session
    expires; it is null if the session does not expire.
    """

    principal: PrincipalOut
    csrf: str | None
    ends_at: datetime | None

    @classmethod
    def from_caller(cls, caller: Principal, secret: str | None) -> "SessionOut":
        principal = PrincipalOut.from_records(caller)
        return cls(principal=principal, csrf=secret and compute_csrf_token(secret), ends_at=principal.expires_at)


@router.post("/sign-in", response_model=SessionOut)
async def sign_in(body: SignInIn, request: Request, services: ServicesDep, threads: KeyThreads) -> Response:
    """Start a session. Requests with its cookie have the permissions of the key or token.

    The session is closed when its key expires or is revoked, on sign-out, after a day without use, and after a week
    (`LEADLINE_SESSION_IDLE_HOURS`, `LEADLINE_SESSION_HOURS`). A ticket can be used once, within an hour. Over plain
    HTTP, sessions can only be started at loopback addresses.
    """
    cookie = SessionCookie.from_settings(services.settings)
    # guard: sign-in-cross-origin
    require_same_origin(request.scope)
    # guard: sign-in-over-http
    cookie.require_secure_host(request.scope)
    caller, secret = await threads.run(_start_session, services, body)
    response = JSONResponse(SessionOut.from_caller(caller, secret).model_dump(mode="json"))
    cookie.write_secret(response, secret)
    return response


@router.post("/sign-out", status_code=204, responses={200: {"model": SignOutOut}})
def sign_out(body: SignOutIn, request: Request, caller: Anybody, services: ServicesDep) -> Response:
    """Close the session. With `everywhere`, close all sessions of this user or key and invalidate unused links.

    The session is closed even if the identity provider does not respond; `continue_at` is then null.
    """
    secret: str | None = request.scope.get(SESSION)
    tokens = services.accounts.provider_sessions.load_tokens(secret) if body.at_provider and secret else None
    if body.everywhere:
        services.accounts.sessions.end_sessions(caller)
    elif secret is not None:
        services.accounts.sessions.end_session(secret)
    response = Response(status_code=204)
    if body.at_provider:
        back = f"{get_own_url(services.settings, request.scope)}{SIGN_IN}"
        url = None if tokens is None else build_sign_out_url(services.settings, tokens, back)
        response = JSONResponse(SignOutOut(continue_at=url).model_dump(mode="json"))
    SessionCookie.from_settings(services.settings).clear_secret(response)
    return response


@router.post("/back-channel-logout", response_class=Response, openapi_extra=_LOGOUT_BODY)
async def end_provider_sessions(request: Request, services: ServicesDep, threads: KeyThreads) -> Response:
    """End the sessions that a logout token of the identity provider names, on all devices and processes.

    The provider calls this route itself (OpenID Connect Back-Channel Logout 1.0). It needs no key: the token is signed.
    """
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    await threads.run(_end_provider_sessions, services, form.get("logout_token", [""])[0])
    return Response(headers={"Cache-Control": "no-store"})


@router.get("/session")
async def get_session(request: Request, caller: Anybody) -> SessionOut:
    """Show the caller of the session."""
    return SessionOut.from_caller(caller, request.scope.get(SESSION))


def _end_provider_sessions(services: Services, token: str) -> None:
    checker = services.admission.tokens
    logout = None if checker is None else checker.check_logout_token(token)
    ended = None if logout is None else services.accounts.provider_sessions.end_sessions(logout)
    if ended is None:
        raise BadRequestError("The logout token is not valid, or was used before.")
    log.info("sessions ended by the identity provider", sessions=ended)


def _start_session(services: Services, body: SignInIn) -> tuple[Principal, str]:
    if body.ticket is not None:
        caller = services.accounts.sessions.redeem_ticket(body.ticket)
        if caller is None:
            raise UnauthorizedError(
                "This sign-in link was already used or has expired.",
                hint="Run `leadline sign-in` for a new link, or sign in with an API key.",
            )
    else:
        caller = services.identify_caller((body.key or "").strip())
        if caller is None:
            raise UnauthorizedError(
                "The API key or token is not valid.",
                hint="Check that the key is complete. `leadline keys list` shows live keys.",
            )
    return caller, start_session(services, caller)
