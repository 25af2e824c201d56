"""One person by an identity provider and by Slack, on each database: the same rights by a verified address alone."""

import pytest
from sqlalchemy import Engine

from ingest.storage.accounts.grants import Grants
from ingest.storage.accounts.people import People
from ingest.storage.accounts.records import Principal, Profile, Role, Scope
from ingest.storage.accounts.sessions import Sessions
from ingest.storage.accounts.users import Users
from ingest.storage.documents.metadata import require_own_access
from ingest.storage.errors import MetadataError
from ingest.storage.slack.records import Workspace
from ingest.storage.slack.store import SlackStore

WEEK = 7 * 86_400.0
MAIL = "Eve@example.org"


class Identities:
    """The stores with a clock that tests set."""

    def __init__(self, engine: Engine) -> None:
        self.now = 1_000_000.0
        self.engine = engine
        self.people = People(engine, clock=lambda: self.now)
        self.sessions = Sessions(engine, clock=lambda: self.now)
        self.slack = SlackStore(engine, clock=lambda: self.now)

    def sign_in(self, user: str = "id-1", mail: str | None = MAIL, *, is_verified: bool = True) -> Principal:
        """Sign in with the provider, and return the principal of the session."""
        profile, groups = Profile("Eve", mail, is_verified), frozenset({"staff"})
        person = Principal(
            "ann", None, "Eve", user=user, groups=groups, scopes=frozenset({Scope.READ}), profile=profile
        )
        self.people.record_sign_in(person, groups_seconds=WEEK)
        found = self.sessions.authenticate(self.sessions.start_session(person))
        assert found is not None
        return found

    def in_slack(self, mail: str = "eve@EXAMPLE.org", tenant: str = "ann", *, is_confirmed: bool = True) -> Principal:
        workspace = Workspace("T0", tenant, "Harbour", "U0BOT", "")
        scopes = frozenset({Scope.READ})
        return self.slack.build_principal(workspace, "D1", mail, frozenset(), scopes, is_confirmed=is_confirmed)


@pytest.fixture
def identities(engine: Engine) -> Identities:
    return Identities(engine)


def test_the_same_person_has_the_same_subjects_by_the_provider_and_by_slack(identities: Identities) -> None:
    by_provider, by_slack = identities.sign_in(), identities.in_slack()
    expected = frozenset({"user:id-1", "user:eve@example.org", "group:staff"})
    assert by_provider.readers == by_slack.readers == expected
    assert by_provider.owner == by_slack.owner == "user:id-1"
    assert by_provider.owners == {"user:id-1", "user:eve@example.org"}


def test_an_unverified_address_gains_nothing_on_either_side(identities: Identities) -> None:
    by_provider = identities.sign_in(is_verified=False)
    assert by_provider.readers == frozenset({"user:id-1", "group:staff"})
    assert identities.in_slack().readers == frozenset()
    identities.sign_in()
    assert identities.in_slack(is_confirmed=False).readers == frozenset()


def test_rights_of_the_address_end_when_it_is_verified_no_longer_or_by_somebody_else(identities: Identities) -> None:
    identities.sign_in()
    assert identities.sign_in(is_verified=False).readers == frozenset({"user:id-1", "group:staff"})
    identities.sign_in()
    identities.sign_in("id-2")
    secret_of_first = identities.sign_in("id-1", None)
    assert secret_of_first.readers == frozenset({"user:id-1", "group:staff"})
    assert identities.in_slack().readers == frozenset({"user:id-2", "user:eve@example.org", "group:staff"})


def test_a_user_with_keys_named_by_the_address_is_the_same_person(identities: Identities) -> None:
    Users(identities.engine).create("ann", "EVE@example.org", ["board"])
    assert identities.in_slack().readers == frozenset({"user:EVE@example.org", "group:board"})
    by_provider, by_slack = identities.sign_in(), identities.in_slack()
    expected = frozenset({"user:id-1", "user:eve@example.org", "user:EVE@example.org", "group:staff", "group:board"})
    assert by_provider.readers == by_slack.readers == expected


def test_a_role_for_the_id_or_the_address_counts_for_both(identities: Identities) -> None:
    for number, subject in enumerate(("user:id-1", "user:eve@example.org")):
        Grants(identities.engine).grant_role("ann", f"c{number}", subject, Role.READER)
    assert identities.in_slack().collections.denied == {"c0", "c1"}
    by_provider, by_slack = identities.sign_in(), identities.in_slack()
    assert by_provider.collections.denied == by_slack.collections.denied == frozenset()


def test_groups_of_the_provider_count_in_slack_for_a_limited_time_and_end_with_the_sessions(
    identities: Identities,
) -> None:
    person = identities.sign_in()
    identities.now += WEEK + 1
    assert identities.in_slack().groups == frozenset()
    identities.sign_in()
    assert identities.in_slack().groups == {"staff"}
    identities.sessions.end_sessions(person)
    assert identities.in_slack().groups == frozenset()


def test_an_address_in_another_alphabet_or_of_another_tenant_is_nobodys(identities: Identities) -> None:
    identities.sign_in(mail="mass@example.org")
    Users(identities.engine).create("ann", "kiss@example.org")
    for mail in ("ma\u00df@example.org", "\u212aiss@example.org"):
        assert identities.in_slack(mail).readers == frozenset()
    assert identities.in_slack("mass@example.org", "bob").readers == frozenset()


def test_somebody_who_is_on_a_list_by_the_address_keeps_access(identities: Identities) -> None:
    require_own_access(frozenset({"user:eve@example.org"}), identities.sign_in().readers)
    with pytest.raises(MetadataError):
        require_own_access(frozenset({"user:eve@example.org"}), identities.sign_in(is_verified=False).readers)
