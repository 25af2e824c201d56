"""What ends for a caller of something that stays open, and how often the caller is looked up."""

import asyncio
from dataclasses import replace

import pytest

from api.admission.current_caller import LOOKUP_SECONDS, AnswerCaller, CurrentCaller
from api.http.problems import ScopeMissingError, UnauthorizedError
from ingest.storage.accounts.records import CollectionAccess, Principal, Scope

CALLER = Principal("ann", "k", "a test", "eve", frozenset({"hr"}), frozenset({Scope.READ, Scope.ASK}), expires_at=100.0)


class Lookups:
    """Looks a caller up in a scripted catalog, with a clock that tests set."""

    def __init__(self) -> None:
        self.found: Principal | None = CALLER
        self.now, self.count = 0.0, 0

    async def find(self) -> Principal | None:
        self.count += 1
        return self.found

    def current(self) -> CurrentCaller:
        return CurrentCaller(CALLER, self.find, Scope.READ, clock=lambda: self.now)


def test_a_caller_is_looked_up_no_more_often_than_every_two_seconds() -> None:
    lookups = Lookups()
    current = lookups.current()
    for lookups.now in (0.0, 0.1, LOOKUP_SECONDS - 0.01, LOOKUP_SECONDS, LOOKUP_SECONDS + 0.01):
        assert asyncio.run(current.refresh_principal()) == CALLER
    assert lookups.count == 1


def test_a_caller_without_a_valid_credential_or_without_the_scope_is_refused() -> None:
    lookups = Lookups()
    current = lookups.current()
    lookups.now, lookups.found = 10.0, replace(CALLER, scopes=frozenset({Scope.ASK}))
    with pytest.raises(ScopeMissingError, match="`read`"):
        asyncio.run(current.refresh_principal())
    lookups.found = None
    with pytest.raises(UnauthorizedError):
        asyncio.run(current.refresh_principal())


@pytest.mark.parametrize(
    "found",
    [
        None,
        replace(CALLER, groups=frozenset()),
        replace(CALLER, collections=CollectionAccess(denied=frozenset({"staff"}))),
    ],
    ids=["revoked", "left a group", "lost a grant"],
)
def test_an_answer_ends_for_a_caller_who_may_read_less_and_not_for_one_whose_key_has_expired(
    found: Principal | None,
) -> None:
    lookups = Lookups()
    current = lookups.current()
    lookups.now, lookups.found = 10.0, found
    asyncio.run(AnswerCaller(current, CALLER, clock=lambda: 100.0).require_access())
    with pytest.raises(UnauthorizedError):
        asyncio.run(AnswerCaller(current, CALLER, clock=lambda: 99.0).require_access())


def test_an_answer_goes_on_for_a_caller_who_may_read_more() -> None:
    lookups = Lookups()
    current = lookups.current()
    lookups.now, lookups.found = 10.0, replace(CALLER, groups=frozenset({"hr", "it"}))
    asyncio.run(AnswerCaller(current, CALLER, clock=lambda: 99.0).require_access())
