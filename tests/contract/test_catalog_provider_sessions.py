"""Tokens of sessions that an identity provider started, on each database."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine, select

from ingest.storage.accounts.people import People, identify_by_address
from ingest.storage.accounts.provider_sessions import (
    ClaimedRefresh,
    Logout,
    ProviderSessions,
    ProviderTokens,
    hash_secret,
)
from ingest.storage.accounts.records import Principal, Profile, Scope
from ingest.storage.accounts.sessions import Sessions
from ingest.storage.audit.store import Audit, AuditFilter
from ingest.storage.build import AccountStores
from ingest.storage.db.schema import sessions as rows

ANN = Principal("ann", None, "anna", user="anna", groups=frozenset({"hr"}), scopes=frozenset({Scope.READ}))
TOKENS = ProviderTokens("subject-1", "session-1", "an identity token", "a refresh token")


class Clock:
    """Begins now, because other stores have the real clock."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(engine: Engine, clock: Clock) -> Sessions:
    AccountStores.from_engine(engine)
    return Sessions(engine, clock=clock)


@pytest.fixture
def following(engine: Engine, clock: Clock) -> ProviderSessions:
    return ProviderSessions(engine, clock=clock)


def claim(following: ProviderSessions, secret: str) -> ClaimedRefresh | None:
    return following.claim_refresh(secret, interval_seconds=300, lease_seconds=60)


def test_the_tokens_of_a_session_are_readable_with_its_secret_alone(
    sessions: Sessions, following: ProviderSessions, engine: Engine
) -> None:
    secret, other = (sessions.start_session(ANN, tokens=TOKENS) for _ in range(2))
    assert following.load_tokens(secret) == TOKENS
    with engine.begin() as connection:
        found = connection.execute(select(rows).where(rows.c.tokens_sealed.is_not(None))).all()
        for part in (TOKENS.identity_token, TOKENS.refresh_token, TOKENS.subject, TOKENS.session):
            assert str(part) not in repr(found)
        copied = next(row.tokens_sealed for row in found if row.secret_sha256 == hash_secret(secret))
        connection.execute(rows.update().values(tokens_sealed=copied))
    assert following.load_tokens(other) is None
    assert following.load_tokens(sessions.start_session(ANN)) is None


def test_a_session_is_refreshed_by_one_request_at_a_time(
    sessions: Sessions, following: ProviderSessions, clock: Clock
) -> None:
    secret = sessions.start_session(ANN, tokens=TOKENS)
    assert claim(following, secret) is None  # not due
    clock.now += 300
    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(lambda _: claim(following, secret), range(8)))
    (found,) = [each for each in claims if each is not None]
    assert found.tokens == TOKENS
    clock.now += 60  # its process has died
    assert claim(following, secret) is not None


def test_a_refresh_that_lost_its_lease_changes_nothing(
    sessions: Sessions, following: ProviderSessions, clock: Clock
) -> None:
    secret = sessions.start_session(ANN, tokens=TOKENS)
    clock.now += 300
    late = claim(following, secret)
    clock.now += 60
    current = claim(following, secret)
    assert late is not None
    assert current is not None
    following.replace_refresh_token(secret, current, "the second")
    following.replace_refresh_token(secret, late, "a used one")
    following.confirm_session(late, None)
    found = following.load_tokens(secret)
    assert found is not None
    assert found.refresh_token == "the second"
    following.confirm_session(current, ANN)
    assert claim(following, secret) is None


def test_a_failed_refresh_is_tried_again_and_its_first_failure_counts(
    sessions: Sessions, following: ProviderSessions, clock: Clock
) -> None:
    secret = sessions.start_session(ANN, tokens=TOKENS)
    clock.now += 3_600  # nobody used the session, which is no failure
    for expected in (0, 15, 30):
        found = claim(following, secret)
        assert found is not None
        assert following.record_failure(found, retry_seconds=15) == pytest.approx(expected)
        assert claim(following, secret) is None
        clock.now += 15
    found = claim(following, secret)
    assert found is not None
    following.confirm_session(found, None)
    clock.now += 300
    found = claim(following, secret)
    assert found is not None
    assert following.record_failure(found, retry_seconds=15) == 0


def test_a_session_whose_tokens_were_changed_ends(
    sessions: Sessions, following: ProviderSessions, clock: Clock, engine: Engine
) -> None:
    secret = sessions.start_session(ANN, tokens=TOKENS)
    with engine.begin() as connection:
        connection.execute(rows.update().values(tokens_sealed=b"of somebody else"))
    clock.now += 300
    assert claim(following, secret) is None
    assert sessions.authenticate(secret) is None


def test_the_end_of_a_session_is_in_the_audit_log(
    sessions: Sessions, following: ProviderSessions, clock: Clock, engine: Engine
) -> None:
    secret = sessions.start_session(ANN, tokens=TOKENS)
    clock.now += 300
    found = claim(following, secret)
    assert found is not None
    following.end_session(found)
    following.end_session(found)
    assert sessions.authenticate(secret) is None
    actions = [entry.action for entry in Audit(engine).iter_entries(AuditFilter(tenant_id="ann"))]
    assert actions.count("sessions.ended") == 1


def count_groups_in_slack(engine: Engine, clock: Clock) -> frozenset[str]:
    bot = Principal("ann", None, "the bot")
    with engine.begin() as connection:
        return identify_by_address(connection, bot, "anna@example.org", clock.now).groups


def test_groups_in_slack_are_those_of_the_last_refresh_and_end_with_the_session(
    sessions: Sessions, following: ProviderSessions, clock: Clock, engine: Engine
) -> None:
    person = replace(ANN, profile=Profile("Anna", "anna@example.org", is_mail_verified=True))
    People(engine, clock=clock).record_sign_in(person, groups_seconds=86_400)
    secret = sessions.start_session(person, tokens=TOKENS)
    assert count_groups_in_slack(engine, clock) == {"hr"}
    clock.now += 300
    found = claim(following, secret)
    assert found is not None
    following.confirm_session(found, replace(person, groups=frozenset({"it"})))
    assert count_groups_in_slack(engine, clock) == {"it"}
    clock.now += 300
    found = claim(following, secret)
    assert found is not None
    following.end_session(found)
    assert count_groups_in_slack(engine, clock) == frozenset()


def test_groups_in_slack_end_when_the_provider_ends_the_last_session(
    sessions: Sessions, following: ProviderSessions, clock: Clock, engine: Engine
) -> None:
    person = replace(ANN, profile=Profile("Anna", "anna@example.org", is_mail_verified=True))
    People(engine, clock=clock).record_sign_in(person, groups_seconds=86_400)
    for number in (1, 2):
        sessions.start_session(person, tokens=replace(TOKENS, session=f"session-{number}"))
    for number, expected in ((1, {"hr"}), (2, frozenset())):
        logout = Logout(f"token-{number}", None, f"session-{number}", clock.now + 60)
        assert following.end_sessions(logout) == 1
        assert count_groups_in_slack(engine, clock) == expected
