"""Signing in to the portal with an identity provider: a real issuer over HTTP, and what is refused."""

import base64
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import structlog

from tests.support.asking import AskedApi
from tests.support.issuer import AUDIENCE, CLIENT_SECRET, Issuer, running_issuer
from tests.support.provider_api import browser, led_to, provider_api


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as made:
        yield made


@pytest.fixture
def api(tmp_path: Path, issuer: Issuer) -> Iterator[AskedApi]:
    with provider_api(tmp_path, issuer) as made:
        yield made


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


def read_scope(asked: str) -> str:
    return dict(parse_qsl(urlsplit(asked).query))["scope"]


def test_groups_are_asked_for_only_where_discovery_offers_them(api: AskedApi, issuer: Issuer) -> None:
    http = browser(api)
    assert read_scope(led_to(http)) == "openid profile email"
    issuer.described["scopes_supported"] = ["openid", "email", "roles"]
    assert read_scope(led_to(http)) == "openid profile email"
    issuer.described["scopes_supported"] = ["openid", "groups"]
    assert read_scope(led_to(http)) == "openid profile email groups"
    api.services.settings = api.services.settings.model_copy(update={"oidc_request_scope": "openid groups custom"})
    assert read_scope(led_to(http)) == "openid groups custom"


@pytest.mark.parametrize("page", ["/runs", "/ask?document=a&document=b", "/library?named=%C3%A4+b", "/ask/x-1"])
def test_somebody_lands_on_the_page_that_they_asked_for(api: AskedApi, issuer: Issuer, page: str) -> None:
    http = browser(api)
    first = http.get(page)
    assert first.status_code == 303
    shown = http.get(first.headers["location"]).text
    link = re.search(r'href="(/sign-in/provider[^"]*)"', shown)
    assert link is not None
    asked = str(http.get(html.unescape(link[1])).headers["location"])
    come = http.get(issuer.consent(asked))
    assert (come.status_code, come.headers["location"]) == (303, page)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/sign-in/provider",
        "",
        "/" + "x" * 2_000,
    ],
)
def test_a_sign_in_leads_to_no_other_site(api: AskedApi, issuer: Issuer, elsewhere: str) -> None:
    http = browser(api)
    assert http.get(issuer.consent(led_to(http, elsewhere))).headers["location"] == "/"
    # A cookie that another program wrote may contain a path to another site, too.
    asked = led_to(http)
    state, nonce, verifier, _ = str(http.cookies["leadline-sign-in"]).split(".")
    written = base64.urlsafe_b64encode(elsewhere.encode()).decode()
    http.cookies.clear()
    http.cookies.set("leadline-sign-in", f"{state}.{nonce}.{verifier}.{written}")
    come = http.get(issuer.consent(asked))
    assert come.headers.get("location", "/") == "/"


@pytest.mark.parametrize("method", ["client_secret_post", "client_secret_basic"])
@pytest.mark.parametrize("listed", [True, False])
def test_the_secret_of_the_client_is_sent_as_it_is_registered(
    api: AskedApi, issuer: Issuer, method: str, listed: bool
) -> None:
    issuer.client_method = method
    if not listed:  # Then only the default of the specification is offered.
        issuer.described["token_endpoint_auth_methods_supported"] = None
    http = browser(api)
    come = http.get(issuer.consent(led_to(http)))
    assert come.status_code == (303 if listed or method == "client_secret_basic" else 401)


def test_a_refusal_is_logged_and_shown_on_one_line_with_advice(api: AskedApi, issuer: Issuer) -> None:
    http = browser(api)
    said = "Invalid scopes:\r\nopenid <b>groups</b>\u202e " + "x" * 1_000
    with structlog.testing.capture_logs() as logged:
        refused = http.get(issuer.refuse(led_to(http, "/runs"), "invalid_scope", said))
    assert refused.status_code == 401
    reason = re.search(r'<q id="provider-reason">(.*?)</q>', refused.text, re.DOTALL)
    assert reason is not None
    assert reason[1].startswith("invalid_scope: Invalid scopes: openid &lt;b&gt;groups&lt;/b&gt; xxx")
    assert html.unescape(reason[1]).isprintable()
    assert len(reason[1]) < 500
    assert "Set LEADLINE_OIDC_REQUEST_SCOPE to scopes that the client may request" in refused.text
    assert 'href="/sign-in/provider?to=%2Fruns"' in refused.text  # to try again
    (line,) = [each for each in logged if each["event"] == "identity provider refused a sign-in"]
    assert (line["stage"], line["error"], line["own_flow"]) == ("authorization", "invalid_scope", True)
    assert line["error_description"].startswith("Invalid scopes: openid <b>groups</b> xxx")
    assert line["error_description"].isprintable()
    assert len(line["error_description"]) <= 400
    german = http.get(issuer.refuse(led_to(http), "access_denied", ""), headers={"Accept-Language": "de"})
    assert "Weisen Sie diese Person" in german.text


def test_a_link_shows_no_text_of_its_author_on_the_page(api: AskedApi, issuer: Issuer) -> None:
    """An error without the state of this browser is not from the provider."""
    http = browser(api)
    led_to(http)
    for state in ({}, {"state": "made up"}):
        refused = http.get("/sign-in/provider", params={"error": "call 555", "error_description": "Call 555", **state})
        assert refused.status_code == 401
        assert "555" not in refused.text
        assert "begun in another browser" in refused.text


def test_a_refusal_of_the_code_is_logged_and_shown_without_secrets(api: AskedApi, issuer: Issuer) -> None:
    http = browser(api)
    asked = led_to(http)
    back = issuer.consent(asked)
    _, nonce, verifier, _ = str(http.cookies["leadline-sign-in"]).split(".")
    said = f"code-0 {CLIENT_SECRET} {verifier} {nonce} is wrong"
    issuer.refusal = (400, {"error": "invalid_grant", "error_description": said})
    with structlog.testing.capture_logs() as logged:
        refused = http.get(back)
    assert refused.status_code == 401
    assert "invalid_grant: … … … … is wrong" in refused.text
    assert "Compare the redirect URI" in refused.text
    (line,) = [each for each in logged if each["event"] == "identity provider refused a sign-in"]
    assert (line["stage"], line["status"], line["error"]) == ("token", 400, "invalid_grant")
    assert line["error_description"] == "… … … … is wrong"
    issuer.refusal = (502, {"error": "bad gateway"})
    assert http.get(issuer.consent(led_to(http))).status_code == 503


def test_what_the_provider_cannot_do_is_told_where_one_signs_in(api: AskedApi, issuer: Issuer) -> None:
    http = browser(api)
    issuer.is_away = True
    away = http.get("/sign-in/provider")
    assert away.status_code == 503
    assert "does not respond" in away.text
    api.services.settings = api.services.settings.model_copy(update={"oidc_client_id": None})
    assert http.get("/sign-in/provider").headers["location"] == "/sign-in"
    assert "your organisation" not in http.get("/sign-in").text


def test_a_discovery_document_of_another_issuer_or_of_any_size_is_not_read(api: AskedApi, issuer: Issuer) -> None:
    http = browser(api)
    issuer.described["padding"] = "x" * 2 * 1024**2
    assert http.get("/sign-in/provider").status_code == 503
    issuer.described.clear()
    issuer.issuer_said = "https://evil.example"
    assert http.get("/sign-in/provider").status_code == 503
