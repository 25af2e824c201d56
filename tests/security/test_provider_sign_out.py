"""Signing out at the identity provider as well as here: a real issuer over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi.testclient import TestClient

from tests.support.asking import AskedApi
from tests.support.issuer import Issuer, running_issuer
from tests.support.provider_api import browser, provider_api, sign_in


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as made:
        yield made


@pytest.fixture
def api(tmp_path: Path, issuer: Issuer) -> Iterator[AskedApi]:
    with provider_api(tmp_path, issuer) as made:
        yield made


def sign_out(http: TestClient, **how: bool) -> Any:  # noqa: ANN401 - JSON
    """Sign out at the provider, too, and return where the browser goes on."""
    csrf = http.get("/v1/session").json()["csrf"]
    found = http.post("/v1/sign-out", json={"at_provider": True, **how}, headers={"X-CSRF-Token": csrf})
    assert found.status_code == 200, found.text
    assert http.get("/v1/session").status_code == 401
    return found.json()["continue_at"]


@pytest.mark.parametrize("how", [{}, {"everywhere": True}], ids=str)
def test_the_browser_goes_on_to_the_provider_with_its_token_and_comes_back(
    api: AskedApi, issuer: Issuer, how: dict[str, bool]
) -> None:
    issuer.described = {"end_session_endpoint": f"{issuer.url}/leave?theme=dark"}
    http = browser(api)
    sign_in(http, issuer)
    url = sign_out(http, **how)
    assert url.startswith(f"{issuer.url}/leave?theme=dark&")
    query = dict(parse_qsl(urlsplit(url).query))
    token = query.pop("id_token_hint")
    assert token.count(".") == 2
    assert query == {
        "theme": "dark",
        "client_id": "portal",
        "post_logout_redirect_uri": "http://127.0.0.1/sign-in",
    }


def test_a_token_that_is_too_long_for_an_address_is_left_out(api: AskedApi, issuer: Issuer) -> None:
    issuer.described = {"end_session_endpoint": f"{issuer.url}/leave"}
    http = browser(api)
    sign_in(http, issuer, groups=[f"group {number}" for number in range(500)])
    assert "id_token_hint" not in sign_out(http)


@pytest.mark.parametrize("trouble", [{}, {"is_away": True}, {"described": {"end_session_endpoint": "javascript:1"}}])
def test_the_session_ends_even_if_the_provider_cannot_sign_out(
    api: AskedApi, issuer: Issuer, trouble: dict[str, Any]
) -> None:
    http = browser(api)
    sign_in(http, issuer)
    for name, value in trouble.items():
        setattr(issuer, name, value)
    assert sign_out(http) is None


def test_a_session_of_a_key_has_nowhere_to_go(api: AskedApi, issuer: Issuer) -> None:
    issuer.described = {"end_session_endpoint": f"{issuer.url}/leave"}
    http = browser(api)
    _, key = api.services.keys.issue_key("ann", "a key")
    assert http.post("/v1/sign-in", json={"key": key}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert "Sign out at the identity provider" not in http.get("/library").text
    assert sign_out(http) is None
