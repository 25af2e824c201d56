"""Tokens of an OpenID Connect provider: a real issuer over HTTP with keys of its own, and what is refused."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from api.accounts.oidc import OidcTokenChecker
from api.http.problems import IdentityProviderUnavailableError
from api.settings.oidc import OidcSettings
from ingest.storage.accounts.records import Role, Scope
from ingest.storage.build import AccountStores
from tests.support.asking import AskedApi, asked_api
from tests.support.issuer import AUDIENCE, Issuer, rsa_key, running_issuer


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as made:
        yield made


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskedApi]:
    with asked_api(tmp_path_factory.mktemp("home")) as made:
        yield made


def settings(issuer: Issuer, **given: Any) -> OidcSettings:  # noqa: ANN401 - of many types
    usual = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "oidc_tenant": "ann"}
    return OidcSettings.model_validate({**usual, **given})


@pytest.fixture
def tokens(issuer: Issuer, api: AskedApi) -> OidcTokenChecker:
    return OidcTokenChecker(settings(issuer), api.services.accounts)


def with_header(token: str, **changes: object) -> str:
    """The same claims under a changed header, and without a signature."""
    head, body, _ = token.split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    written = base64.urlsafe_b64encode(json.dumps({**header, **changes}).encode()).decode().rstrip("=")
    return f"{written}.{body}."


def test_a_token_is_a_principal_with_user_groups_and_scopes(issuer: Issuer, api: AskedApi) -> None:
    scopes = {"*": ("read",), "writers": ("write", "ask")}
    tokens = OidcTokenChecker(settings(issuer, oidc_scopes=scopes), api.services.accounts)
    expires = time.time() + 300
    found = tokens.check_access_token(issuer.token(groups=["hr", "writers"], exp=expires))
    assert found is not None
    assert (found.tenant_id, found.key_id, found.user) == ("ann", None, "anna")
    assert found.groups == {"hr", "writers"}
    assert found.scopes == {Scope.READ, Scope.WRITE, Scope.ASK}
    assert found.expires_at == pytest.approx(expires)
    assert tokens.check_access_token(issuer.token(kid="ec-1", groups=None)) is not None


def test_a_token_opens_the_api_and_is_bound_by_scopes_and_grants(issuer: Issuer, api: AskedApi) -> None:
    api.services.admission = replace(
        api.services.admission, tokens=OidcTokenChecker(settings(issuer), api.services.accounts)
    )
    api.services.accounts.grants.grant_role("ann", "staff", "group:hr", Role.READER)
    api.services.accounts.grants.grant_role("ann", "board", "group:board", Role.READER)
    headers = {"Authorization": f"Bearer {issuer.token()}"}
    assert api.http.get("/v1/me", headers=headers).json()["user"] == "anna"
    listed = [each["name"] for each in api.http.get("/v1/collections", headers=headers).json()["collections"]]
    assert listed == ["staff"]
    assert api.http.get("/v1/keys", headers=headers).status_code == 403
    for wrong in (issuer.token(aud="another"), issuer.token(exp=time.time() - 3600), "a.b.c"):
        refused = api.http.get("/v1/me", headers={"Authorization": f"Bearer {wrong}"})
        assert (refused.status_code, refused.json()["detail"]) == (401, "The API key or token is not valid.")
    issuer.is_away = True
    unknown = {"Authorization": f"Bearer {issuer.token(key=rsa_key(), kid='new')}"}
    api.services.admission = replace(
        api.services.admission, tokens=OidcTokenChecker(settings(issuer), api.services.accounts)
    )
    away = api.http.get("/v1/me", headers=unknown)
    assert (away.status_code, away.json()["code"]) == (503, "identity_provider_unavailable")
    assert int(away.headers["Retry-After"]) >= 1
    assert api.http.get("/v1/me").status_code == 200  # keys of ours need no provider
    api.services.admission = replace(api.services.admission, tokens=None)
    assert api.http.get("/v1/me", headers=headers).status_code == 401


def test_a_token_of_another_issuer_is_refused(issuer: Issuer, tokens: OidcTokenChecker) -> None:
    assert tokens.check_access_token(issuer.token(iss="https://evil.example")) is None
    assert tokens.check_access_token(issuer.token(iss=None)) is None


def test_a_token_for_another_audience_is_refused(issuer: Issuer, tokens: OidcTokenChecker) -> None:
    assert tokens.check_access_token(issuer.token(aud="another service")) is None
    assert tokens.check_access_token(issuer.token(aud=None)) is None
    assert tokens.check_access_token(issuer.token(aud=["another", AUDIENCE])) is not None


def test_a_token_is_good_from_its_beginning_to_its_end_give_or_take_the_clocks(
    issuer: Issuer, tokens: OidcTokenChecker
) -> None:
    now = time.time()
    assert tokens.check_access_token(issuer.token(exp=now - 10)) is not None
    assert tokens.check_access_token(issuer.token(exp=now - 60)) is None
    assert tokens.check_access_token(issuer.token(exp=None)) is None
    assert tokens.check_access_token(issuer.token(nbf=now + 10)) is not None
    assert tokens.check_access_token(issuer.token(nbf=now + 60)) is None


def test_a_signature_by_another_key_is_refused(issuer: Issuer, tokens: OidcTokenChecker) -> None:
    assert tokens.check_access_token(issuer.token(key=rsa_key())) is None
    good = issuer.token()
    assert tokens.check_access_token(good) is not None
    assert tokens.check_access_token(good[:-6] + "AAAAAA") is None
    head, _, signature = good.split(".")
    body = issuer.token(sub="otto").split(".")[1]
    assert tokens.check_access_token(f"{head}.{body}.{signature}") is None


def test_no_signature_and_a_public_key_as_a_secret_are_refused(issuer: Issuer, tokens: OidcTokenChecker) -> None:
    assert tokens.check_access_token(with_header(issuer.token(), alg="none")) is None
    assert tokens.check_access_token(with_header(issuer.token(), alg="HS256")) is None
    secret = base64.urlsafe_b64encode(b"x" * 32).decode()
    assert tokens.check_access_token(issuer.token(key=secret, algorithm="HS256")) is None
    assert tokens.check_access_token(issuer.token(algorithm="RS512")) is None  # asymmetric, and not in the list
    for kid in (None, 7):
        assert tokens.check_access_token(with_header(issuer.token(), kid=kid)) is None
    for symmetric in ("HS256", "none", "RS256 HS256", ""):
        with pytest.raises(ValidationError, match="OIDC_ALGORITHMS"):
            settings(issuer, oidc_algorithms=symmetric)


def test_a_token_with_an_algorithm_that_is_not_listed_has_no_key_fetched(
    issuer: Issuer, tokens: OidcTokenChecker
) -> None:
    assert tokens.check_access_token(with_header(issuer.token(), alg="HS256")) is None
    assert issuer.fetches == 0


def test_keys_are_kept_and_a_new_one_is_found_without_a_stranger_causing_many_fetches(
    issuer: Issuer, api: AskedApi
) -> None:
    tokens = OidcTokenChecker(settings(issuer, oidc_refetch_seconds=3_600), api.services.accounts)
    for _ in range(5):
        assert tokens.check_access_token(issuer.token()) is not None
    assert issuer.fetches == 1
    strangers = rsa_key()
    for number in range(20):
        assert tokens.check_access_token(issuer.token(key=strangers, kid=f"made up {number}")) is None
    assert issuer.fetches <= 2
    often = OidcTokenChecker(settings(issuer, oidc_refetch_seconds=0.05), api.services.accounts)
    assert often.check_access_token(issuer.token()) is not None
    issuer.keys["rsa-2"] = rsa_key()
    time.sleep(0.1)
    assert often.check_access_token(issuer.token(kid="rsa-2")) is not None


def test_while_the_provider_is_away_known_keys_go_on_and_unknown_ones_are_told_to_come_back(
    issuer: Issuer, api: AskedApi
) -> None:
    clock = Clock()
    tokens = OidcTokenChecker(settings(issuer, oidc_refetch_seconds=0), api.services.accounts, clock=clock)
    assert tokens.check_access_token(issuer.token()) is not None
    issuer.keys["rsa-2"] = rsa_key()
    issuer.is_away = True
    with pytest.raises(IdentityProviderUnavailableError):
        tokens.check_access_token(issuer.token(kid="rsa-2"))
    assert tokens.check_access_token(issuer.token()) is not None
    issuer.is_away = False
    with pytest.raises(IdentityProviderUnavailableError):  # it is not asked again at once
        tokens.check_access_token(issuer.token(kid="rsa-2"))
    clock.now += 5
    assert tokens.check_access_token(issuer.token(kid="rsa-2")) is not None


def test_keys_in_a_document_of_any_size_are_not_read(issuer: Issuer, tokens: OidcTokenChecker) -> None:
    issuer.padding = "x" * 2 * 1024**2
    with pytest.raises(IdentityProviderUnavailableError):
        tokens.check_access_token(issuer.token())


def test_a_provider_that_describes_another_issuer_is_no_provider(issuer: Issuer, tokens: OidcTokenChecker) -> None:
    issuer.issuer_said = "https://evil.example"
    with pytest.raises(IdentityProviderUnavailableError):
        tokens.check_access_token(issuer.token())


def test_the_tenant_comes_from_a_claim_if_one_is_named(issuer: Issuer, api: AskedApi) -> None:
    tokens = OidcTokenChecker(settings(issuer, oidc_tenant_claim="org"), api.services.accounts)
    found = tokens.check_access_token(issuer.token(org="bob"))
    assert found is not None
    assert found.tenant_id == "bob"
    for org in ("nobody", None, ["bob"], ""):
        assert tokens.check_access_token(issuer.token(org=org)) is None


def test_a_suspended_tenants_tokens_are_refused(issuer: Issuer, tmp_path: Path) -> None:
    with asked_api(tmp_path) as api:
        identities: AccountStores = api.services.accounts
        tokens = OidcTokenChecker(settings(issuer), identities)
        identities.tenants.suspend("ann")
        assert tokens.check_access_token(issuer.token()) is None
        identities.tenants.resume("ann")
        assert tokens.check_access_token(issuer.token()) is not None


@pytest.mark.parametrize("sub", [None, "", " ", 7, "two\nlines", "x" * 201])
def test_a_token_that_names_no_user_is_refused(issuer: Issuer, api: AskedApi, sub: object) -> None:
    # The library itself refuses to sign some of these as `sub`.
    claimed = OidcTokenChecker(settings(issuer, oidc_user_claim="email"), api.services.accounts)
    assert claimed.check_access_token(issuer.token(email=sub)) is None
    assert claimed.check_access_token(issuer.token(email="anna@example.org")) is not None


def test_groups_that_are_no_names_are_left_out(issuer: Issuer, tokens: OidcTokenChecker) -> None:
    found = tokens.check_access_token(issuer.token(groups=["hr", 7, "", "two\nlines", {"a": 1}]))
    assert found is not None
    assert found.groups == {"hr"}
    assert tokens.check_access_token(issuer.token(groups={"hr": True})) is not None


def test_settings_name_an_audience_and_no_operator(issuer: Issuer) -> None:
    with pytest.raises(ValidationError, match="OIDC_AUDIENCE"):
        settings(issuer, oidc_audience=None)
    with pytest.raises(ValidationError, match="operator"):
        settings(issuer, oidc_scopes={"*": ["operator"]})
    with pytest.raises(ValidationError, match="https://"):
        settings(issuer, oidc_jwks_url="file:///etc/passwd")
