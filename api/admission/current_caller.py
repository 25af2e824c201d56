"""Looks up the callers of open streams again, so that a stream is closed soon after its caller loses access."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from fastapi import Depends, Request

from api.admission.access import Caller, build_missing_scope_error
from api.admission.admission import FIND_CALLER
from api.http.problems import UnauthorizedError
from ingest.storage.accounts.records import Principal, Scope

# Time for which the last look-up of a caller is reused, because looking up a caller takes one or two queries.
LOOKUP_SECONDS: Final = 2.0

FindCaller = Callable[[], Awaitable[Principal | None]]


class CurrentCaller:
    """The caller of an open request. The caller is looked up again at most every two seconds."""

    def __init__(
        self, caller: Principal, find_caller: FindCaller, scope: Scope, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._caller = caller
        self._find = find_caller
        self._scope = scope
        self._clock = clock
        self._found_at = clock()

    @classmethod
    def from_request(cls, request: Request, caller: Principal, scope: Scope) -> "CurrentCaller":
        """Return the caller of a request whose route needs `scope`."""
        return cls(caller, request.scope[FIND_CALLER], scope)

    async def refresh_principal(self) -> Principal:
        """Return the principal with its current permissions.

        Raises `UnauthorizedError` if the caller's key, user, tenant or session was removed or is no longer valid, and
        `ScopeMissingError` if the caller lost the scope that the route needs.
        """
        if self._clock() - self._found_at >= LOOKUP_SECONDS:
            # guard: streams-end-with-key
            self._caller = require_principal(await self._find(), self._scope)
            self._found_at = self._clock()
        return self._caller


def require_principal(principal: Principal | None, scope: Scope) -> Principal:
    """Return the principal of work that goes on. Raises `UnauthorizedError` and `ScopeMissingError`."""
    if principal is None:
        raise UnauthorizedError("The key, token or session of this stream is no longer valid.")
    if scope not in principal.scopes:
        raise build_missing_scope_error(scope)
    return principal


async def get_current_caller(request: Request, caller: Caller) -> CurrentCaller:
    """Return the caller of an event stream."""
    return CurrentCaller.from_request(request, caller, Scope.READ)


Follower = Annotated[CurrentCaller, Depends(get_current_caller)]


class AnswerCaller:
    """The caller of an answer in progress.

    An answer, like a run, is completed even if the caller's key or token expires. It is stopped if the caller loses
    access to anything that was readable when the answer was started.
    """

    def __init__(
        self, current_caller: CurrentCaller, caller: Principal, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._current = current_caller
        self._began_as = caller
        self._clock = clock

    async def require_access(self) -> None:
        """Raise `UnauthorizedError` or `ScopeMissingError` if the caller is no longer allowed to get the answer."""
        ends_at = self._began_as.expires_at
        if ends_at is not None and self._clock() >= ends_at:
            return
        if _has_lost_access(self._began_as, await self._current.refresh_principal()):
            raise UnauthorizedError(
                "Your access to documents changed while the answer was being generated.", hint="Ask again."
            )


def _has_lost_access(old_principal: Principal, new_principal: Principal) -> bool:
    """Return whether a principal has lost a group, the `admin` scope, or access to a collection."""
    if new_principal.readers is not None and (
        old_principal.readers is None or old_principal.readers - new_principal.readers
    ):
        return True
    return bool(new_principal.collections.denied - old_principal.collections.denied)
