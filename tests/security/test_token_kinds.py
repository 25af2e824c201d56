"""Access tokens open the API, and identity tokens sign people in: the status and the log line of each kind."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import structlog

from api.accounts.oidc import OidcTokenChecker
from api.settings.oidc import OidcSettings
from tests.support.asking import AskedApi, asked_api
from tests.support.issuer import Issuer, rsa_key, running_issuer

API, CLIENT = "api://leadline", "portal"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with running_issuer() as made:
        yield made


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskedApi]:
    with asked_api(tmp_path_factory.mktemp("home")) as made:
        yield made


def set_audience(api: AskedApi, issuer: Issuer, audience: str) -> None:
    settings = OidcSettings.model_validate(
        {"oidc_issuer": issuer.url, "oidc_audience": audience, "oidc_client_id": CLIENT, "oidc_tenant": "ann"}
    )
    api.services.admission = replace(api.services.admission, tokens=OidcTokenChecker(settings, api.services.accounts))


@dataclass(frozen=True)
class Kind:
    """A token: its claims beside the usual ones, the type in its header, and what the log says if it is refused."""

    name: str
    claims: dict[str, Any] = field(default_factory=dict)
    typ: str | None = "JWT"
    reason: str | None = None
    detail: str = ""

    def __str__(self) -> str:
        return self.name


IDENTITY = "not_an_access_token"
KINDS = (
    Kind("access token with the audience"),
    Kind("access token without an audience", {"aud": None}, reason="claim_missing", detail="no claim `aud`"),
    Kind(
        "keycloak's access token without an audience mapper",
        {"aud": "account", "typ": "Bearer"},
        reason="audience",
        detail=f"`aud` is account; LEADLINE_OIDC_AUDIENCE is {API}",
    ),
    Kind("access token of RFC 9068", {"client_id": CLIENT, "scope": "openid"}, typ="at+jwt"),
    Kind("the same with the whole media type", typ="application/at+JWT"),
    Kind("keycloak's access token", {"typ": "Bearer", "azp": CLIENT, "scope": "openid"}),
    Kind("keycloak's access token before release 25", {"typ": "Bearer", "nonce": "n"}),
    Kind("authentik's access token", {"nonce": "n", "azp": CLIENT, "scope": "openid"}),
    Kind("okta's access token", {"cid": CLIENT, "scp": ["openid"]}, typ=None),
    Kind("access token for several audiences", {"aud": [API, "account"]}),
    Kind(
        "keycloak's identity token", {"aud": CLIENT, "typ": "ID", "nonce": "n"}, reason=IDENTITY, detail="`typ` is ID"
    ),
    Kind("keycloak's identity token for the API", {"typ": "ID"}, reason=IDENTITY, detail="`typ` is ID"),
    Kind("refresh token", {"typ": "Refresh"}, reason=IDENTITY, detail="`typ` is Refresh"),
    Kind("identity token with a nonce", {"nonce": "n"}, reason=IDENTITY, detail="`nonce`"),
    Kind("identity token with a hash", {"at_hash": "h", "scope": "openid"}, reason=IDENTITY, detail="`at_hash`"),
    Kind("identity token with the hash of a code", {"c_hash": "h"}, reason=IDENTITY, detail="`c_hash`"),
    Kind("cognito's identity token", {"token_use": "id"}, reason=IDENTITY, detail="`token_use`"),
    Kind("identity token after a refresh", {"aud": CLIENT}, reason=IDENTITY, detail="`aud` is LEADLINE_OIDC_CLIENT_ID"),
    Kind("logout token", {"events": {}}, reason=IDENTITY, detail="`events`"),
    Kind("logout token by its type", typ="logout+jwt", reason=IDENTITY, detail="`typ` is logout+jwt"),
    Kind("expired", {"exp": time.time() - 3_600}, reason="expired", detail="seconds ago"),
    Kind("of another issuer", {"iss": "https://evil.example"}, reason="issuer", detail="`iss` is https://evil.example"),
    Kind("for another client", {"aud": "another", "scope": "openid"}, reason="audience", detail="`aud` is another"),
    Kind("not valid yet", {"nbf": time.time() + 3_600}, reason="not_yet_valid", detail="clocks"),
)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_each_kind_of_token_has_its_status_and_its_reason_in_the_log(api: AskedApi, issuer: Issuer, kind: Kind) -> None:
    set_audience(api, issuer, API)
    token = issuer.token(header_typ=kind.typ, **{"aud": API, **kind.claims})
    with structlog.testing.capture_logs() as logged:
        answer = api.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    lines = [each for each in logged if each["event"] == "token refused"]
    if kind.reason is None:
        assert (answer.status_code, lines) == (200, [])
        return
    assert (answer.status_code, answer.json()["detail"]) == (401, "The API key or token is not valid.")
    assert [(each["kind"], each["reason"]) for each in lines] == [("access", kind.reason)]
    assert kind.detail in lines[0]["detail"]
    assert not any(part in str(logged) for part in token.split("."))


def test_a_token_that_nobody_has_verified_is_not_described(api: AskedApi, issuer: Issuer) -> None:
    set_audience(api, issuer, API)
    unsigned = {"signature": issuer.token(key=rsa_key(), aud=API, sub="secret-name"), "malformed": "a.b.c"}
    unsigned["unknown_key"] = issuer.token(key=rsa_key(), kid="another", aud=API, sub="secret-name")
    for reason, token in unsigned.items():
        with structlog.testing.capture_logs() as logged:
            assert api.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
        (line,) = [each for each in logged if each["event"] == "token refused"]
        assert (line["reason"], line["detail"]) == (reason, "the token was not signed by this issuer")


def test_where_client_and_api_have_one_name_only_access_tokens_open_the_api(api: AskedApi, issuer: Issuer) -> None:
    """Entra ID gives both kinds of tokens the same audience."""
    set_audience(api, issuer, CLIENT)
    expected: dict[int, tuple[dict[str, Any], ...]] = {
        200: ({"scp": "access"}, {"scope": "openid"}, {"azpacr": "1"}, {"client_id": CLIENT}),
        401: ({}, {"azp": CLIENT, "name": "Anna"}, {"nonce": "n"}, {"at_hash": "h", "scp": "access"}),
    }
    for status, kinds in expected.items():
        for claims in kinds:
            token = issuer.token(aud=CLIENT, **claims)
            assert api.http.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == status, claims


def test_an_identity_token_is_no_credential_of_a_sign_in_with_a_key(api: AskedApi, issuer: Issuer) -> None:
    set_audience(api, issuer, API)
    kinds: tuple[tuple[dict[str, Any], int], ...] = (({}, 200), ({"nonce": "n"}, 401))
    for claims, status in kinds:
        sent = {"key": issuer.token(aud=API, **claims)}
        answer = api.http.post("/v1/sign-in", json=sent, headers={"Host": "127.0.0.1", "Authorization": ""})
        assert answer.status_code == status
