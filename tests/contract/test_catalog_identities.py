"""Tenants, users, keys and grants on each database."""

import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from ingest.storage.accounts.access import Readers
from ingest.storage.accounts.grants import Grants
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.accounts.records import OPEN_ACCESS, TENANT_SCOPES, CollectionAccess, Principal, Role, Scope
from ingest.storage.build import AccountStores
from ingest.storage.db.schema import api_keys
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import (
    DocumentNotFoundError,
    GrantNotFoundError,
    KeyNotFoundError,
    KeyStateError,
    LastGrantError,
    NameInvalidError,
    NameTakenError,
    PersonUnknownError,
    TenantNotFoundError,
    UserNotFoundError,
)
from tests.support.catalogs import arrive

READ = frozenset({Scope.READ})


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, **how_long: float) -> None:
        self.now += timedelta(**how_long).total_seconds()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(engine: Engine, clock: Clock) -> ApiKeys:
    return ApiKeys(engine, clock=clock)


@pytest.fixture
def identities(engine: Engine) -> AccountStores:
    return AccountStores.from_engine(engine)


def test_a_key_opens_only_with_its_whole_secret_and_only_until_it_is_revoked(keys: ApiKeys) -> None:
    key, presented = keys.issue_key("ann", "laptop")
    assert keys.authenticate(presented) == Principal("ann", key.id, "laptop", scopes=TENANT_SCOPES)
    for wrong in (presented[:-1], presented + "x", f"ll_{key.id}_", f"ll_unknown_{presented[20:]}", "", "ll_"):
        assert keys.authenticate(wrong) is None
    assert keys.revoke_key("bob", key.id) is False
    assert keys.revoke_key("ann", key.id) is True
    assert keys.authenticate(presented) is None


def test_a_key_has_the_scopes_user_and_groups_that_it_was_given(identities: AccountStores) -> None:
    user = identities.users.create("ann", "anna", ["hr", "board", "hr"])
    key, presented = identities.keys.issue_key("ann", "phone", scopes=READ, user="anna")
    found = identities.keys.authenticate(presented)
    assert found == Principal("ann", key.id, "phone", "anna", frozenset({"hr", "board"}), READ)
    identities.users.set_groups("ann", user.id, ["board"])
    changed = identities.keys.authenticate(presented)
    assert changed is not None
    assert changed.readers == frozenset({"user:anna", "group:board"})
    assert [(each.user, each.scopes) for each in identities.keys.list_keys("ann")] == [("anna", READ)]
    with pytest.raises(UserNotFoundError):
        identities.keys.issue_key("bob", "phone", user="anna")


def test_a_key_is_valid_until_its_expiry(keys: ApiKeys, clock: Clock) -> None:
    _, presented = keys.issue_key("ann", "for an hour", expires_at=clock.now + 3600)
    clock.passes(seconds=3599)
    assert keys.authenticate(presented) is not None
    clock.passes(seconds=1)
    assert keys.authenticate(presented) is None
    assert [key.get_state(clock.now) for key in keys.list_keys("ann")] == ["expired"]


def test_a_key_that_would_be_good_for_nothing_is_refused(keys: ApiKeys, clock: Clock) -> None:
    with pytest.raises(KeyStateError, match="in the past"):
        keys.issue_key("ann", "late", expires_at=clock.now)
    with pytest.raises(NameInvalidError, match="scope"):
        keys.issue_key("ann", "idle", scopes=())
    with pytest.raises(TenantNotFoundError):
        keys.issue_key("nobody", "lost")
    assert keys.list_keys("ann") == []


def test_after_a_rotation_both_keys_are_live_until_the_grace_is_over(keys: ApiKeys, clock: Clock) -> None:
    old, first = keys.issue_key("ann", "service", scopes=READ, expires_at=clock.now + 10 * 86_400)
    clock.passes(days=2)
    new, second = keys.rotate_key("ann", old.id, grace_seconds=3600)
    assert (new.name, new.scopes, new.expires_at) == ("service", READ, clock.now + 10 * 86_400)
    assert keys.load_key("ann", old.id).successor_id == new.id
    assert keys.authenticate(first) is not None
    assert keys.authenticate(second) is not None
    with pytest.raises(KeyStateError, match="was already rotated"):
        keys.rotate_key("ann", old.id)
    clock.passes(seconds=3600)
    assert keys.authenticate(first) is None
    assert keys.authenticate(second) is not None


def test_a_rotation_never_prolongs_the_old_key(keys: ApiKeys, clock: Clock) -> None:
    old, _ = keys.issue_key("ann", "service", expires_at=clock.now + 60)
    keys.rotate_key("ann", old.id, grace_seconds=3600)
    assert keys.load_key("ann", old.id).expires_at == clock.now + 60
    clock.passes(minutes=1)
    with pytest.raises(KeyStateError, match="is expired"):
        keys.rotate_key("ann", old.id)


def test_changes_of_a_key_hold_at_once(keys: ApiKeys, clock: Clock) -> None:
    key, presented = keys.issue_key("ann", "laptop")
    keys.change_key("ann", key.id, {"scopes": READ, "name": "reader"})
    found = keys.authenticate(presented)
    assert found is not None
    assert (found.name, found.scopes) == ("reader", READ)
    keys.change_key("ann", key.id, {"expires_at": clock.now + 1})
    clock.passes(seconds=1)
    assert keys.authenticate(presented) is None
    with pytest.raises(KeyNotFoundError):
        keys.change_key("bob", key.id, {"name": "mine"})


def test_keys_are_listed_in_pages(keys: ApiKeys, clock: Clock) -> None:
    made = {keys.issue_key("ann", f"key {number}")[0].id for number in range(3)}  # all in the same moment
    keys.issue_key("bob", "another tenant's")
    first = keys.list_keys("ann", limit=2)
    rest = keys.list_keys("ann", after=first[-1].id, limit=2)
    assert {key.id for key in [*first, *rest]} == made
    assert len(rest) == 1


def test_the_last_use_is_recorded_beside_the_request_and_once_a_minute(
    keys: ApiKeys, clock: Clock, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    key, presented = keys.issue_key("ann", "laptop")
    assert key.last_used_at is None
    begun = clock.now
    keys.authenticate(presented)
    eventually(lambda: keys.load_key("ann", key.id).last_used_at == begun)
    clock.passes(seconds=59)
    keys.authenticate(presented)
    clock.passes(seconds=1)
    keys.authenticate(presented)
    eventually(lambda: keys.load_key("ann", key.id).last_used_at == begun + 60)


def test_deleting_a_user_revokes_its_keys_at_once_and_frees_its_name(identities: AccountStores, engine: Engine) -> None:
    user = identities.users.create("ann", "anna")
    _, presented = identities.keys.issue_key("ann", "phone", user="anna")
    _, other = identities.keys.issue_key("ann", "laptop")
    with pytest.raises(UserNotFoundError):
        identities.users.delete("bob", user.id)
    identities.users.delete("ann", "anna")
    assert identities.keys.authenticate(presented) is None
    assert identities.keys.authenticate(other) is not None
    with engine.connect() as connection:
        revoked = select(api_keys.c.name).where(api_keys.c.revoked_at.is_not(None))
        assert list(connection.execute(revoked).scalars()) == ["phone"]
    assert identities.users.create("ann", "anna").id != user.id


def test_users_names_are_unique_within_a_tenant_and_tenants_names_in_the_installation(
    identities: AccountStores,
) -> None:
    identities.users.create("ann", "anna")
    identities.users.create("bob", "anna")
    with pytest.raises(NameTakenError):
        identities.users.create("ann", " anna ")
    acme = identities.tenants.create("acme")
    with pytest.raises(NameTakenError):
        identities.tenants.create("acme")
    with pytest.raises(NameTakenError):
        identities.tenants.rename("bob", "acme")
    assert identities.tenants.rename("acme", "acme & sons").id == acme.id
    assert [user.name for user in identities.users.list_users("ann")] == ["anna"]


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "x" * 201, "nul\0"])
def test_names_are_short_and_printable(identities: AccountStores, name: str) -> None:
    with pytest.raises(NameInvalidError):
        identities.tenants.create(name)
    with pytest.raises(NameInvalidError):
        identities.users.create("ann", name)
    with pytest.raises(NameInvalidError):
        identities.users.create("ann", "anna", [name])


def test_a_suspended_tenants_keys_are_refused_until_it_is_resumed(identities: AccountStores) -> None:
    _, presented = identities.keys.issue_key("ann", "laptop")
    _, other = identities.keys.issue_key("bob", "laptop")
    identities.tenants.suspend("ann")
    assert identities.keys.authenticate(presented) is None
    assert identities.keys.authenticate(other) is not None
    identities.tenants.resume("ann")
    assert identities.keys.authenticate(presented) is not None


def access(grants: Grants, **who: object) -> CollectionAccess:
    return grants.resolve_access(Principal("ann", **{"key_id": "k", "name": "", "scopes": READ, **who})).collections  # type: ignore[arg-type]


def test_a_collection_is_open_until_it_is_granted_and_then_for_those_and_admins(engine: Engine) -> None:
    grants = Grants(engine)
    assert access(grants, user="anna") == OPEN_ACCESS
    grants.grant_role("ann", "staff", "group:hr", Role.READER)
    grants.grant_role("ann", "staff", "user:anna", Role.WRITER)
    grants.grant_role("ann", "staff", "key:robot", Role.ADMIN)
    assert access(grants, user="otto") == CollectionAccess(denied=frozenset({"staff"}))
    assert access(grants, user="otto", groups=frozenset({"hr"})).read_only == {"staff"}
    anna = access(grants, user="anna", groups=frozenset({"hr"}))
    assert (anna.denied, anna.read_only) == (frozenset(), frozenset())
    assert access(grants, key_id="robot").managed == {"staff"}
    assert access(grants, user="otto", scopes=TENANT_SCOPES) == OPEN_ACCESS
    assert grants.resolve_access(Principal("bob", "k", "", scopes=READ)).collections == OPEN_ACCESS


def test_a_key_is_checked_with_the_grants_of_its_tenant(identities: AccountStores) -> None:
    identities.grants.grant_role("ann", "staff", "group:hr", Role.READER)
    _, presented = identities.keys.issue_key("ann", "phone", scopes=READ)
    found = identities.keys.authenticate(presented)
    assert found is not None
    assert found.collections.denied == {"staff"}


def test_documents_of_a_granted_collection_are_for_its_readers_and_admins(engine: Engine, catalog: Catalog) -> None:
    grants = Grants(engine)
    plan, book = arrive(catalog, "a", collection="staff"), arrive(catalog, "b", collection="books")
    before = catalog.load_corpus_version("ann")
    grants.grant_role("ann", "staff", "group:hr", Role.READER)
    assert catalog.load_corpus_version("ann") > before  # nothing that was found before is shown again
    for who, seen in (
        (Principal("ann", "k", "", scopes=READ), {book.id}),
        (Principal("ann", "k", "", user="otto", scopes=READ), {book.id}),
        (Principal("ann", "k", "", user="otto", groups=frozenset({"hr"}), scopes=READ), {plan.id, book.id}),
        (Principal("ann", "k", "", user="otto", scopes=TENANT_SCOPES), {plan.id, book.id}),
        (Principal("ann", "k", "", scopes=TENANT_SCOPES), {plan.id, book.id}),
    ):
        principal = grants.resolve_access(who)
        readers = principal.readers
        assert {each.id for each in catalog.list_documents("ann", readers=readers)} == seen
        closed = set() if readers is None else catalog.list_hidden_collections("ann", readers)
        assert ("staff" in closed) is (plan.id not in seen)
        assert _is_found(catalog, plan.id, readers) is (plan.id in seen)
        assert principal.collections.can_read("staff") is (plan.id in seen)
    grants.grant_role("ann", "staff", "key:robot", Role.WRITER)
    robot = grants.resolve_access(Principal("ann", "robot", "", scopes=READ))
    assert {each.id for each in catalog.list_documents("ann", readers=robot.readers)} == {plan.id, book.id}


def _is_found(catalog: Catalog, document_id: str, readers: Readers) -> bool:
    try:
        catalog.load_document("ann", document_id, readers=readers)
    except DocumentNotFoundError:
        return False
    return True


def test_the_last_grant_is_taken_away_only_if_it_is_meant(engine: Engine) -> None:
    grants = Grants(engine)
    grants.grant_role("ann", "staff", "group:hr", Role.READER)
    grants.grant_role("ann", "staff", "group:hr", Role.WRITER)  # instead of the first
    with pytest.raises(GrantNotFoundError):
        grants.revoke_grant("ann", "staff", "user:anna")
    with pytest.raises(GrantNotFoundError):
        grants.revoke_grant("bob", "staff", "group:hr")
    with pytest.raises(LastGrantError):
        grants.revoke_grant("ann", "staff", "group:hr")
    assert [(each.subject, each.role) for each in grants.list_grants("ann", "staff")] == [("group:hr", Role.WRITER)]
    grants.revoke_grant("ann", "staff", "group:hr", open_to_all=True)
    assert grants.list_grants("ann", "staff") == []


def test_collections_are_listed_with_their_documents_and_grants(engine: Engine, catalog: Catalog) -> None:
    grants = Grants(engine)
    arrive(catalog, "a", collection="books")
    arrive(catalog, "b", collection="books")
    arrive(catalog, "c", tenant="bob", collection="secret")
    grants.grant_role("ann", "staff", "group:hr", Role.READER)
    listed = [(each.name, each.documents, each.grants) for each in grants.list_collections("ann")]
    assert listed == [("books", 2, 0), ("staff", 0, 1)]


@pytest.mark.parametrize(
    ("subject", "error"),
    [
        ("user:", NameInvalidError),
        ("users:anna", NameInvalidError),
        ("user:\n", NameInvalidError),
        (" ", NameInvalidError),
        ("anna", PersonUnknownError),
        ("*", PersonUnknownError),
    ],
)
def test_a_grant_names_a_user_a_group_or_a_key_or_a_known_person(
    engine: Engine, subject: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        Grants(engine).grant_role("ann", "staff", subject, Role.READER)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    def wait(condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.01)

    return wait
