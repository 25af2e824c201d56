"""Identifies the caller: the principal of a request's API key, and the services behind the application."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.answer_threads import AnswerThreads
from api.problems import UnauthorizedError
from api.services import Services
from ingest.identity import Principal, Scope

_bearer = HTTPBearer(auto_error=False, description="An API key made with `leadline keys create`.")


def services(request: Request) -> Services:
    """Return the one set of services of this process."""
    found: Services = request.app.state.services
    return found


Served = Annotated[Services, Depends(services)]


async def answer_threads(request: Request) -> AnswerThreads:
    """Return the answer threads of this process."""
    found: AnswerThreads = request.app.state.answer_threads
    return found


AnswersAtOnce = Annotated[AnswerThreads, Depends(answer_threads)]


def caller(served: Served, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> Principal:
    """Return who asks. Raises `UnauthorizedError`, in equal words for all reasons but a missing key."""
    if credentials is None:
        raise UnauthorizedError("This needs an API key.")
    key = served.keys.check(credentials.credentials)
    if key is None:
        raise UnauthorizedError("The API key is not valid.")
    return Principal(key.tenant_id, key.id, key.name, scopes=frozenset(Scope))


Caller = Annotated[Principal, Depends(caller)]
