"""Askers on each database: who is found again after a restart, and whose work must stop."""

from collections.abc import Iterator

import pytest

from ingest.storage.accounts.provider_sessions import hash_secret
from ingest.storage.accounts.records import Asker, Principal, Scope
from ingest.storage.build import AccountStores
from ingest.storage.db.database import open_database
from ingest.storage.documents.catalog import Catalog
from tests.support.postgres import disposed

READER = frozenset({Scope.READ, Scope.ASK})


@pytest.fixture
def accounts(catalog_url: str) -> Iterator[AccountStores]:
    with disposed(open_database(catalog_url)) as engine:
        Catalog(engine).ensure_tenant("ann")
        yield AccountStores.from_engine(engine)


def sign_in(accounts: AccountStores, principal: Principal) -> tuple[str, Asker]:
    """Start a session, and return its secret and the asker of a question in it."""
    secret = accounts.sessions.start_session(principal)
    signed_in = accounts.sessions.authenticate(secret)
    assert signed_in is not None
    return secret, Asker.from_principal(signed_in, hash_secret(secret))


def test_a_key_is_found_until_it_is_revoked_or_its_user_is_deleted(accounts: AccountStores) -> None:
    user = accounts.users.create("ann", "eve")
    _, secret = accounts.keys.issue_key("ann", "a key", user="eve", scopes=READER)
    other, _ = accounts.keys.issue_key("ann", "another", scopes=READER)
    principal = accounts.keys.authenticate(secret)
    assert principal is not None
    asker = Asker.from_principal(principal)
    assert Asker.from_columns(asker.to_columns()) == asker
    assert accounts.askers.find_principal(asker) == principal
    without_user = Asker("ann", other.id, "another", None, (), ("ask",), None)
    assert accounts.askers.find_principal(without_user) is not None
    accounts.keys.revoke_key("ann", other.id)
    assert accounts.askers.find_principal(without_user) is None
    accounts.users.delete("ann", user.name)
    assert accounts.askers.find_principal(asker) is None


def test_work_stops_when_its_session_was_ended_but_not_when_the_session_expired(accounts: AccountStores) -> None:
    principal = Principal("ann", None, "eve", user="eve", groups=frozenset({"all"}), scopes=READER)
    secret, asker = sign_in(accounts, principal)
    found = accounts.askers.find_principal(asker)
    assert found == accounts.sessions.authenticate(secret)
    accounts.sessions.end_sessions(principal)
    assert accounts.askers.find_principal(asker) is None
    expired = Asker.from_columns({**asker.to_columns(), "expires_at": 1.0})
    found = accounts.askers.find_principal(expired)
    assert found is not None
    assert (found.user, found.groups, found.scopes) == ("eve", frozenset({"all"}), READER)


def test_work_of_a_token_stops_when_its_tenant_is_suspended(accounts: AccountStores) -> None:
    asker = Asker("ann", None, "eve", "eve", (), ("ask", "gone"), 1.0)
    found = accounts.askers.find_principal(asker)
    assert found is not None
    assert found.scopes == frozenset({Scope.ASK})
    accounts.tenants.suspend("ann")
    assert accounts.askers.find_principal(asker) is None
