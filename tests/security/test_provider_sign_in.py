"""Signing in to the portal with an identity provider: a real issuer over HTTP, and what is refused."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi.testclient import TestClient

from api.accounts.oidc import OidcTokenChecker
from api.main import create_app
from tests.support.asking import AskedApi, asked_api
from tests.support.issuer import AUDIENCE, CLIENT_SECRET, Issuer, running_issuer


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as made:
        yield made


@pytest.fixture
def api(tmp_path: Path, issuer: Issuer) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as made:
        changed = {
            "oidc_issuer": issuer.url,
            "oidc_audience": AUDIENCE,
            "oidc_tenant": "ann",
            "oidc_client_id": "portal",
            "oidc_client_secret": CLIENT_SECRET,
        }
        settings = type(made.services.settings).model_validate(
            {"home": made.services.settings.home, "llm": "none", **changed}
        )
        made.services.settings = settings
        made.services.admission = replace(
            made.services.admission, tokens=OidcTokenChecker(settings, made.services.accounts)
        )
        yield made


def browser(api: AskedApi) -> TestClient:
    return TestClient(create_app(api.services), base_url="http://127.0.0.1", follow_redirects=False)


def led_to(http: TestClient) -> str:
    found = http.get("/sign-in/provider")
    assert found.status_code == 303
    return str(found.headers["location"])


def test_somebody_signs_in_with_the_provider_and_is_the_user_of_its_token(api: AskedApi, issuer: Issuer) -> None:
    http = browser(api)
    assert "Sign in with your organisation" in http.get("/sign-in").text
    asked = led_to(http)
    query = dict(parse_qsl(urlsplit(asked).query))
    assert asked.startswith(f"{issuer.url}/authorize?")
    assert (query["client_id"], query["code_challenge_method"], query["response_type"]) == ("portal", "S256", "code")
    assert query["redirect_uri"] == "http://127.0.0.1/sign-in/provider"
    back = issuer.consent(asked)
    come = http.get(back)
    assert (come.status_code, come.headers["location"]) == (303, "/")
    session = http.get("/v1/session").json()
    assert (session["principal"]["tenant"], session["principal"]["user"]) == ("ann", "anna")
    assert session["principal"]["scopes"] == ["ask", "read"]
    assert session["csrf"]
    again = http.get(back)
    assert again.status_code == 401
    assert "begun in another browser, or too long ago" in again.text


def test_a_sign_in_that_another_browser_began_is_refused(api: AskedApi, issuer: Issuer) -> None:
    attacker, victim = browser(api), browser(api)
    led_to(victim)
    back = issuer.consent(led_to(attacker))
    for http in (victim, browser(api)):
        come = http.get(back)
        assert come.status_code == 401
        assert "begun in another browser" in come.text  # before the provider is asked for a token
        assert "leadline=" not in str(come.headers.get_list("set-cookie"))
        assert http.get("/v1/me").status_code == 401


@pytest.mark.parametrize("claims", [{"nonce": "another"}, {"nonce": None}, {"aud": AUDIENCE}, {"exp": 1}])
def test_a_token_of_another_sign_in_or_for_another_client_is_refused(
    api: AskedApi, issuer: Issuer, claims: dict[str, Any]
) -> None:
    http = browser(api)
    come = http.get(issuer.consent(led_to(http), **claims))
    assert come.status_code == 401
    assert http.get("/v1/me").status_code == 401


def test_an_identity_token_is_no_key_of_the_api(api: AskedApi, issuer: Issuer) -> None:
    token = issuer.token(aud="portal", nonce="n")
    assert browser(api).get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_what_the_provider_refuses_or_cannot_do_is_told_where_one_signs_in(api: AskedApi, issuer: Issuer) -> None:
    http = browser(api)
    refused = http.get("/sign-in/provider", params={"error": "access_denied"})
    assert refused.status_code == 401
    assert "sign-in did not succeed" in refused.text
    issuer.is_away = True
    away = http.get("/sign-in/provider")
    assert away.status_code == 503
    assert "does not respond" in away.text
    api.services.settings = api.services.settings.model_copy(update={"oidc_client_id": None})
    assert http.get("/sign-in/provider").headers["location"] == "/sign-in"
    assert "your organisation" not in http.get("/sign-in").text
