"""Callers of requests, for tests of what stays open."""

from api.admission.current_caller import CurrentCaller
from ingest.storage.accounts.records import Principal, Scope


def always(caller: Principal, scope: Scope = Scope.READ) -> CurrentCaller:
    """A caller that keeps its rights."""

    async def find() -> Principal:
        return caller

    return CurrentCaller(caller, find, scope)
