"""Sessions of people in a browser, and the tickets that begin one, on each database."""

import time
from dataclasses import replace

import pytest
from sqlalchemy import Engine, func, select

from ingest.storage.accounts.keys import ApiKey
from ingest.storage.accounts.records import Principal, Role, Scope
from ingest.storage.accounts.sessions import IDLE_SECONDS, LIFETIME_SECONDS, TICKET_SECONDS, Sessions
from ingest.storage.audit.store import Audit, AuditFilter
from ingest.storage.build import AccountStores
from ingest.storage.db.schema import sessions as rows

DAY = 86_400.0


class Clock:
    """Begins now, because keys have the real clock."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def identities(engine: Engine) -> AccountStores:
    return AccountStores.from_engine(engine)


@pytest.fixture
def sessions(engine: Engine, clock: Clock) -> Sessions:
    return Sessions(engine, clock=clock)


@pytest.fixture
def key(identities: AccountStores) -> ApiKey:
    return identities.keys.issue_key("ann", "laptop", scopes=[Scope.READ])[0]


def principal(key: ApiKey) -> Principal:
    return Principal(key.tenant_id, key.id, key.name, scopes=key.scopes)


def test_a_session_acts_as_its_key_and_ends_with_it(sessions: Sessions, identities: AccountStores, key: ApiKey) -> None:
    secret = sessions.start_session(principal(key))
    found = sessions.authenticate(secret)
    assert found is not None
    assert replace(found, expires_at=None) == principal(key)
    for wrong in (secret[:-1], "", secret + "x"):
        assert sessions.authenticate(wrong) is None
    identities.keys.change_key("ann", key.id, {"scopes": [Scope.ASK]})
    changed = sessions.authenticate(secret)
    assert changed is not None
    assert changed.scopes == {Scope.ASK}
    identities.keys.revoke_key("ann", key.id)
    assert sessions.authenticate(secret) is None


def test_a_session_ends_without_use_and_at_its_time(sessions: Sessions, key: ApiKey, clock: Clock) -> None:
    idle, used = sessions.start_session(principal(key)), sessions.start_session(principal(key))
    begun = clock.now
    while clock.now + IDLE_SECONDS / 2 < begun + LIFETIME_SECONDS:
        clock.now += IDLE_SECONDS / 2
        assert sessions.authenticate(used) is not None
    assert sessions.authenticate(idle) is None
    clock.now = begun + LIFETIME_SECONDS
    assert sessions.authenticate(used) is None


def test_a_session_of_a_token_ends_with_the_token_and_sees_what_its_holder_sees(
    sessions: Sessions, identities: AccountStores, clock: Clock
) -> None:
    identities.grants.grant_role("ann", "plans", "user:lena", Role.READER)
    holder = Principal("ann", None, "ludo", "ludo", frozenset({"hr"}), frozenset({Scope.READ}), clock.now + 60)
    secret = sessions.start_session(holder)
    found = sessions.authenticate(secret)
    assert found is not None
    assert (found.user, found.groups, found.scopes) == ("ludo", frozenset({"hr"}), frozenset({Scope.READ}))
    assert not found.collections.can_read("plans")
    clock.now += 61
    assert sessions.authenticate(secret) is None


def test_a_ticket_is_good_once_and_for_an_hour_and_is_no_session(sessions: Sessions, key: ApiKey, clock: Clock) -> None:
    ticket, late = sessions.issue_ticket("ann", key.id), sessions.issue_ticket("ann", key.id)
    assert sessions.authenticate(ticket) is None
    found = sessions.redeem_ticket(ticket)
    assert found is not None
    assert found.key_id == key.id
    assert sessions.redeem_ticket(ticket) is None
    session = sessions.start_session(found)
    assert sessions.redeem_ticket(session) is None
    assert sessions.authenticate(session) is not None
    clock.now += TICKET_SECONDS + 1
    assert sessions.redeem_ticket(late) is None


def test_signing_out_ends_one_session_or_all_of_the_same_holder(
    sessions: Sessions, identities: AccountStores, key: ApiKey
) -> None:
    other = identities.keys.issue_key("ann", "phone")[0]
    first, second, third = (sessions.start_session(principal(each)) for each in (key, key, other))
    ticket = sessions.issue_ticket("ann", key.id)
    sessions.end_session(first)
    assert sessions.authenticate(first) is None
    assert sessions.authenticate(second) is not None
    assert sessions.end_sessions(principal(key)) == 2
    assert sessions.authenticate(second) is None
    assert sessions.redeem_ticket(ticket) is None
    assert sessions.authenticate(third) is not None


def test_a_suspended_tenant_has_no_sessions(sessions: Sessions, identities: AccountStores, key: ApiKey) -> None:
    secret, ticket = sessions.start_session(principal(key)), sessions.issue_ticket("ann", key.id)
    identities.tenants.suspend("ann")
    assert sessions.authenticate(secret) is None
    assert sessions.redeem_ticket(ticket) is None


def test_no_secret_is_kept_and_what_has_ended_goes(
    sessions: Sessions, engine: Engine, key: ApiKey, clock: Clock
) -> None:
    secret = sessions.start_session(principal(key))
    with engine.connect() as connection:
        assert secret not in str(connection.execute(select(rows)).all())
    clock.now += LIFETIME_SECONDS + DAY
    sessions.start_session(principal(key))
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(rows)).scalar_one() == 1


def test_sessions_are_in_the_audit_log(sessions: Sessions, engine: Engine, key: ApiKey) -> None:
    sessions.start_session(principal(key))
    sessions.end_sessions(principal(key))
    actions = [entry.action for entry in Audit(engine).iter_entries(AuditFilter(tenant_id="ann"))]
    assert {"session.begun", "sessions.ended"} <= set(actions)


def test_a_deleted_users_sessions_of_every_kind_end(sessions: Sessions, identities: AccountStores) -> None:
    identities.users.create("ann", "eve")
    (eve,) = identities.users.list_users("ann")
    held = identities.keys.issue_key("ann", "portal", scopes=[Scope.READ], user="eve")[0]
    by_key = sessions.start_session(replace(principal(held), user="eve"))
    by_token = sessions.start_session(Principal("ann", None, "eve", user="eve", scopes=frozenset({Scope.READ})))
    other = sessions.start_session(Principal("ann", None, "bea", user="bea", scopes=frozenset({Scope.READ})))
    access = identities.users.load_access_rights("ann", [eve])[eve.id]
    assert (access.keys, access.sessions, access.scopes) == (1, 2, frozenset({Scope.READ}))
    identities.users.delete("ann", "eve")
    assert (sessions.authenticate(by_key), sessions.authenticate(by_token)) == (None, None)
    assert sessions.authenticate(other) is not None


def test_a_ticket_ends_with_the_sessions_of_the_user_that_it_admits(
    sessions: Sessions, identities: AccountStores
) -> None:
    identities.users.create("ann", "eve")
    held = identities.keys.issue_key("ann", "portal", scopes=[Scope.READ], user="eve")[0]
    ticket = sessions.issue_ticket("ann", held.id)
    assert sessions.end_sessions_of_owner("ann", "user:eve") == 1
    assert sessions.redeem_ticket(ticket) is None
