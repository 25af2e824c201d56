"""Identifies the caller and checks its scopes; the services behind the application.

Every route declares what it needs by the type of a parameter: `Caller` (read), `Writer`, `Asker`, `Admin` or
`Operator`, or `Anybody` for whoever has a valid key. A test finds routes that declare nothing.
"""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.admission.admission import PLACE
from api.admission.services import Services
from api.admission.turns import Place, Turns
from api.http.middleware import CALLER
from api.http.problems import ScopeMissingError, UnauthorizedError
from api.http.threads import AnswerThreads, Threads
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.quotas.records import Account

_bearer = HTTPBearer(
    auto_error=False,
    description="An API key made with `leadline keys create`, or a token of the identity provider that is configured.",
)


async def services(request: Request) -> Services:
    """Return the one set of services of this process."""
    found: Services = request.app.state.services
    return found


Served = Annotated[Services, Depends(services)]


async def answer_threads(request: Request) -> AnswerThreads:
    """Return the answer threads of this process."""
    found: AnswerThreads = request.app.state.answer_threads
    return found


AnswersAtOnce = Annotated[AnswerThreads, Depends(answer_threads)]


def account_of(principal: Principal) -> Account:
    """Return whose quotas a principal's requests count on."""
    return Account(principal.tenant_id, principal.key_id or "")


async def held_place(request: Request) -> Place:
    """Return the place among its tenant's requests that this one has until its end."""
    found: Place = request.scope[PLACE]
    return found


HeldPlace = Annotated[Place, Depends(held_place)]


async def streams(request: Request) -> Turns:
    """Return the places of event streams, which stay open for long."""
    found: Turns = request.app.state.streams
    return found


Streams = Annotated[Turns, Depends(streams)]


async def upload_threads(request: Request) -> Threads:
    """Return the threads that write uploads."""
    found: Threads = request.app.state.upload_threads
    return found


UploadThreads = Annotated[Threads, Depends(upload_threads)]


async def key_threads(request: Request) -> Threads:
    """Return the threads that look keys up, which must never wait behind work."""
    found: Threads = request.app.state.key_threads
    return found


KeyThreads = Annotated[Threads, Depends(key_threads)]


async def health_threads(request: Request) -> Threads:
    """Return the threads that look at the parts for health, which must never wait behind work."""
    found: Threads = request.app.state.health_threads
    return found


HealthThreads = Annotated[Threads, Depends(health_threads)]


async def principal(
    request: Request, _described: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """Return who asks, as `api.admission.admission.Authentication` found before the body was read."""
    found: Principal | None = request.scope.get(CALLER)
    if found is None:
        raise UnauthorizedError("This needs an API key.")
    return found


class Requires:
    """A dependency that admits principals with one of the scopes; without any, it admits every valid key."""

    def __init__(self, *scopes: Scope) -> None:
        self.scopes = scopes

    async def __call__(self, found: Annotated[Principal, Depends(principal)]) -> Principal:
        """Return who asks. Raises `ScopeMissingError`, which names the scope."""
        # guard: route-scopes
        if self.scopes and found.scopes.isdisjoint(self.scopes):
            raise missing_scope(self.scopes[0])
        return found


Anybody = Annotated[Principal, Depends(Requires())]
Caller = Annotated[Principal, Depends(Requires(Scope.READ))]
Writer = Annotated[Principal, Depends(Requires(Scope.WRITE))]
Asker = Annotated[Principal, Depends(Requires(Scope.ASK))]
Admin = Annotated[Principal, Depends(Requires(Scope.ADMIN))]
Operator = Annotated[Principal, Depends(Requires(Scope.OPERATOR))]
# Whoever may write a collection may have been made its admin, which the route looks at.
Granter = Annotated[Principal, Depends(Requires(Scope.ADMIN, Scope.WRITE))]


def missing_scope(scope: Scope) -> ScopeMissingError:
    return ScopeMissingError(f"This needs the scope `{scope}`, which the key or token does not have.")
