"""Logout tokens of an identity provider end sessions, and forged ones do not: a real issuer over HTTP."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi.testclient import TestClient

from tests.support.asking import AskedApi
from tests.support.issuer import AUDIENCE, Issuer, rsa_key, running_issuer
from tests.support.provider_api import browser, provider_api, sign_in

EVENTS: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as made:
        yield made


@pytest.fixture
def api(tmp_path: Path, issuer: Issuer) -> Iterator[AskedApi]:
    with provider_api(tmp_path, issuer) as made:
        yield made


def logout_token(issuer: Issuer, **changes: Any) -> str:  # noqa: ANN401 - claims
    """Sign a good logout token of anna's session `s-1`, or one with other claims."""
    usual: dict[str, Any] = {"aud": "portal", "events": EVENTS, "jti": "j-1", "sid": "s-1", "groups": None}
    return issuer.token(**{"header_typ": "logout+jwt", **usual, **changes})


def log_out(http: TestClient, token: str) -> int:
    return http.post("/v1/back-channel-logout", data={"logout_token": token}).status_code


def signed_in(api: AskedApi, issuer: Issuer, **claims: Any) -> TestClient:  # noqa: ANN401 - claims
    http = browser(api)
    sign_in(http, issuer, **{"sid": "s-1", **claims})
    return http


def is_signed_in(http: TestClient) -> bool:
    return http.get("/v1/session").status_code == 200


def test_a_logout_token_ends_the_session_that_it_names(api: AskedApi, issuer: Issuer) -> None:
    ended, same = signed_in(api, issuer), signed_in(api, issuer)
    other, bob = signed_in(api, issuer, sid="s-2"), signed_in(api, issuer, sub="bob", sid="s-3")
    found = browser(api).post("/v1/back-channel-logout", data={"logout_token": logout_token(issuer)})
    assert (found.status_code, found.headers["cache-control"]) == (200, "no-store")
    assert [is_signed_in(each) for each in (ended, same, other, bob)] == [False, False, True, True]
    assert log_out(browser(api), logout_token(issuer, jti="j-2", sub=None, sid="s-2")) == 200
    assert [is_signed_in(each) for each in (other, bob)] == [False, True]


def test_a_logout_token_without_a_session_ends_all_of_a_person(api: AskedApi, issuer: Issuer) -> None:
    first, second, bob = (signed_in(api, issuer, **each) for each in ({}, {"sid": "s-2"}, {"sub": "bob"}))
    # Some providers leave out `exp`.
    assert log_out(browser(api), logout_token(issuer, sid=None, exp=None)) == 200
    assert [is_signed_in(each) for each in (first, second, bob)] == [False, False, True]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": rsa_key()}, "signature"),
        ({"kid": "ec-1", "key": "x" * 32, "algorithm": "HS256"}, "algorithm"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"aud": AUDIENCE}, "audience"),
        ({"events": None}, "not_a_logout_token"),
        ({"events": {}}, "not_a_logout_token"),
        ({"events": [*EVENTS]}, "not_a_logout_token"),
        ({"events": {"https://evil.example/logout": {}}}, "not_a_logout_token"),
        ({"nonce": "n"}, "not_a_logout_token"),
        ({"sub": None, "sid": None}, "claim_missing"),
        ({"sid": ["s-1"]}, "malformed"),
        ({"jti": None}, "claim_missing"),
        ({"jti": 7}, "malformed"),
        ({"iat": None}, "claim_missing"),
        ({"iat": time.time() - 3_600, "exp": None}, "expired"),
        ({"iat": time.time() + 3_600}, "not_yet_valid"),
        ({"exp": 1}, "expired"),
    ],
)
def test_a_forged_logout_token_ends_no_session(
    api: AskedApi, issuer: Issuer, changes: dict[str, Any], reason: str
) -> None:
    http = signed_in(api, issuer)
    with structlog.testing.capture_logs() as logged:
        assert log_out(browser(api), logout_token(issuer, **changes)) == 400
    assert [each["reason"] for each in logged if each["event"] == "token refused"] == [reason]
    assert is_signed_in(http)


def test_a_token_of_another_kind_and_no_token_end_no_session(api: AskedApi, issuer: Issuer) -> None:
    http = signed_in(api, issuer)
    for token in (issuer.token(aud="portal", nonce="n", sid="s-1"), issuer.token(sid="s-1"), "", "a.b.c"):
        assert log_out(browser(api), token) == 400
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser(api).post("/v1/back-channel-logout", content=b"\xff", headers=form).status_code == 400
    assert is_signed_in(http)


def test_a_logout_token_is_accepted_once(api: AskedApi, issuer: Issuer) -> None:
    token = logout_token(issuer)
    assert log_out(browser(api), token) == 200
    http = signed_in(api, issuer)
    assert log_out(browser(api), token) == 400
    assert is_signed_in(http)


def test_a_logout_token_opens_nothing(api: AskedApi, issuer: Issuer) -> None:
    token = logout_token(issuer, aud=["portal", AUDIENCE], scope="openid")
    assert browser(api).get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert is_signed_in(signed_in(api, issuer))


def test_without_a_provider_nobody_is_signed_out(api: AskedApi, issuer: Issuer) -> None:
    api.services.admission = type(api.services.admission)(
        api.services.admission.idempotency, api.services.admission.meter
    )
    assert log_out(browser(api), logout_token(issuer)) == 400
