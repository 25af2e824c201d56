"""`/v1/sign-in`, `/v1/sign-out` and `/v1/session`: sessions of people in a browser."""

from datetime import datetime
from typing import Self

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field, model_validator
from starlette.responses import Response

from api.accounts.schemas import PrincipalOut
from api.admission.access import Anybody, KeyThreads, Served
from api.admission.admission import SESSION
from api.admission.cookies import SessionCookie, compute_csrf_token, require_same_origin
from api.admission.services import Services
from api.http.problems import UnauthorizedError
from api.http.wire import Wire
from api.portal.sessions import start_session
from ingest.storage.accounts.records import Principal

router = APIRouter(prefix="/v1", tags=["sessions"])


class SignInIn(Wire):
    """A request for a session: with an API key, a token of the identity provider, or the ticket of a one-time link."""

    key: str | None = Field(None, min_length=1, max_length=16_384)
    ticket: str | None = Field(None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _require_one_credential(self) -> Self:
        if (self.key is None) == (self.ticket is None):
            raise ValueError("send either `key` or `ticket`")
        return self


class SignOutIn(Wire):
    """A request to end this session, or with `everywhere` every session of the caller on all devices."""

    everywhere: bool = False


class SessionOut(Wire):
    """Who is in the session. Send `csrf` as `X-CSRF-Token` with every method that changes something.

    `csrf` is null where a key or a token was sent instead of a session's cookie; `ends_at` is when that ends by itself,
    and null if it does not.
    """

    principal: PrincipalOut
    csrf: str | None
    ends_at: datetime | None

    @classmethod
    def from_caller(cls, caller: Principal, secret: str | None) -> "SessionOut":
        principal = PrincipalOut.from_records(caller)
        return cls(principal=principal, csrf=secret and compute_csrf_token(secret), ends_at=principal.expires_at)


@router.post("/sign-in", response_model=SessionOut)
async def sign_in(body: SignInIn, request: Request, served: Served, threads: KeyThreads) -> Response:
    """Begin a session, whose cookie then stands for the key in this browser. Its rights are those of the key.

    It ends when the key does, when one signs out, after a day without use, and after a week
    (`LEADLINE_SESSION_IDLE_HOURS`, `LEADLINE_SESSION_HOURS`). A ticket is good once, for an hour. Without https it
    begins on addresses of this machine alone.
    """
    cookie = SessionCookie.from_settings(served.settings)
    # guard: sign-in-cross-origin
    require_same_origin(request.scope)
    # guard: sign-in-over-http
    cookie.require_secure_host(request.scope)
    caller, secret = await threads.run(_start_session, served, body)
    response = JSONResponse(SessionOut.from_caller(caller, secret).model_dump(mode="json"))
    cookie.write(response, secret)
    return response


@router.post("/sign-out", status_code=204)
def sign_out(body: SignOutIn, request: Request, caller: Anybody, served: Served) -> Response:
    """End the session, or with `everywhere` all sessions of this user or key; links that were not used end too."""
    secret: str | None = request.scope.get(SESSION)
    if body.everywhere:
        served.accounts.sessions.end_all(caller)
    elif secret is not None:
        served.accounts.sessions.end(secret)
    response = Response(status_code=204)
    SessionCookie.from_settings(served.settings).clear(response)
    return response


@router.get("/session")
async def session(request: Request, caller: Anybody) -> SessionOut:
    """Show who is in the session."""
    return SessionOut.from_caller(caller, request.scope.get(SESSION))


def _start_session(served: Services, body: SignInIn) -> tuple[Principal, str]:
    if body.ticket is not None:
        caller = served.accounts.sessions.redeem_ticket(body.ticket)
        if caller is None:
            raise UnauthorizedError(
                "This link was used before, or is too old.",
                hint="`leadline sign-in` prints another one; or sign in with an API key.",
            )
    else:
        caller = served.identify((body.key or "").strip())
        if caller is None:
            raise UnauthorizedError(
                "The API key or token is not valid.",
                hint="Copy it whole; `leadline keys list` shows which are live, and `leadline keys create` makes one.",
            )
    return caller, start_session(served, caller)
