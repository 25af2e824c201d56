"""Identifies the caller, checks its scopes, and provides the application's services to routes.

Every route declares which scope it requires by the type of a parameter: `Caller` (read), `Writer`, `Asker`, `Admin`,
`Operator`, or `Anybody` for any valid key. A test fails if a route declares none of these types.
"""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.admission.admission import SLOT
from api.admission.services import Services
from api.admission.turns import Slot, TenantSlots
from api.http.middleware import CALLER
from api.http.problems import ScopeMissingError, UnauthorizedError
from api.http.threads import AnswerThreads, Threads
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.quotas.records import Account

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="apiKey",
    description="An API key created with `leadline keys create`, or a token of the configured identity provider.",
)


async def get_services(request: Request) -> Services:
    """Return this process's services."""
    found: Services = request.app.state.services
    return found


ServicesDep = Annotated[Services, Depends(get_services)]


async def get_answer_threads(request: Request) -> AnswerThreads:
    """Return this process's answer threads."""
    found: AnswerThreads = request.app.state.answer_threads
    return found


AnswersAtOnce = Annotated[AnswerThreads, Depends(get_answer_threads)]


async def get_suggestion_threads(request: Request) -> AnswerThreads:
    """Return this process's threads for suggestions. They are separate so that answers never wait for them."""
    found: AnswerThreads = request.app.state.suggestion_threads
    return found


SuggestionsAtOnce = Annotated[AnswerThreads, Depends(get_suggestion_threads)]


def get_account(principal: Principal) -> Account:
    """Return the account whose quotas apply to the principal's requests."""
    return Account(principal.tenant_id, principal.key_id or "")


async def get_held_slot(request: Request) -> Slot:
    """Return the tenant slot that this request occupies."""
    found: Slot = request.scope[SLOT]
    return found


HeldSlot = Annotated[Slot, Depends(get_held_slot)]


async def get_stream_slots(request: Request) -> TenantSlots:
    """Return the slots for event streams. They are separate because a stream stays open for a long time."""
    found: TenantSlots = request.app.state.streams
    return found


Streams = Annotated[TenantSlots, Depends(get_stream_slots)]


async def get_upload_threads(request: Request) -> Threads:
    """Return the threads that write uploads."""
    found: Threads = request.app.state.upload_threads
    return found


UploadThreads = Annotated[Threads, Depends(get_upload_threads)]


async def get_key_threads(request: Request) -> Threads:
    """Return the threads that look up keys. They are separate so that lookups never wait behind other work."""
    found: Threads = request.app.state.key_threads
    return found


KeyThreads = Annotated[Threads, Depends(get_key_threads)]


async def get_health_threads(request: Request) -> Threads:
    """Return the threads for health checks. They are separate so that checks never wait behind other work."""
    found: Threads = request.app.state.health_threads
    return found


HealthThreads = Annotated[Threads, Depends(get_health_threads)]


async def get_principal(
    request: Request, _described: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> Principal:
    """Return the caller that `api.admission.admission.Authentication` identified before the body was read."""
    found: Principal | None = request.scope.get(CALLER)
    if found is None:
        raise UnauthorizedError("This request needs an API key.")
    return found


class ScopeRequirement:
    """A dependency that admits callers with any of the given scopes. Without scopes, it admits any valid key."""

    def __init__(self, *scopes: Scope) -> None:
        self.scopes = scopes

    async def __call__(self, principal: Annotated[Principal, Depends(get_principal)]) -> Principal:
        """Return the caller. Raises `ScopeMissingError` if the caller has none of the required scopes."""
        # guard: route-scopes
        if self.scopes and principal.scopes.isdisjoint(self.scopes):
            raise build_missing_scope_error(self.scopes[0])
        return principal


Anybody = Annotated[Principal, Depends(ScopeRequirement())]
Caller = Annotated[Principal, Depends(ScopeRequirement(Scope.READ))]
Writer = Annotated[Principal, Depends(ScopeRequirement(Scope.WRITE))]
Asker = Annotated[Principal, Depends(ScopeRequirement(Scope.ASK))]
Admin = Annotated[Principal, Depends(ScopeRequirement(Scope.ADMIN))]
Operator = Annotated[Principal, Depends(ScopeRequirement(Scope.OPERATOR))]
# The route checks the role, because a caller with only the `write` scope can be the admin of a collection through a
# grant.
Granter = Annotated[Principal, Depends(ScopeRequirement(Scope.ADMIN, Scope.WRITE))]


def build_missing_scope_error(scope: Scope) -> ScopeMissingError:
    return ScopeMissingError(f"This request needs the scope `{scope}`, which the key or token does not have.")
