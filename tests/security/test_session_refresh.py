"""Sessions that an identity provider started follow it: a real issuer over HTTP."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from fastapi.testclient import TestClient

from tests.support.asking import AskedApi
from tests.support.issuer import Issuer, running_issuer
from tests.support.provider_api import browser, provider_api, sign_in

OpenApi = Callable[..., AskedApi]
ALWAYS = 1e-6  # seconds after which the provider must confirm a session again


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as made:
        made.refreshes = True
        yield made


@pytest.fixture
def open_api(tmp_path: Path, issuer: Issuer) -> Iterator[OpenApi]:
    """Return a function that opens an application that refreshes sessions before each request."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(
            provider_api(tmp_path, issuer, **{"oidc_session_refresh_seconds": ALWAYS, **changes})
        )


def read_principal(http: TestClient) -> Any:  # noqa: ANN401 - JSON
    found = http.get("/v1/session")
    assert found.status_code == 200, found.text
    return found.json()["principal"]


def test_a_session_has_the_current_groups_and_scopes_of_its_person(open_api: OpenApi, issuer: Issuer) -> None:
    scopes = {"*": ["read"], "editors": ["write"]}
    http = browser(open_api(oidc_scopes=scopes))
    sign_in(http, issuer, groups=["hr", "editors"])
    assert read_principal(http)["scopes"] == ["read", "write"]
    issuer.refreshed = {"groups": ["hr"]}
    found = read_principal(http)
    assert (found["groups"], found["scopes"]) == (["hr"], ["read"])


def test_a_session_is_not_refreshed_before_its_time(open_api: OpenApi, issuer: Issuer) -> None:
    http = browser(open_api(oidc_session_refresh_seconds=300))
    sign_in(http, issuer)
    (first,) = issuer.refresh_tokens
    assert read_principal(http)["user"] == "anna"
    assert list(issuer.refresh_tokens) == [first]


def test_somebody_whom_the_provider_refuses_is_signed_out_on_every_process(open_api: OpenApi, issuer: Issuer) -> None:
    api = open_api()
    http, other = browser(api), browser(api)
    sign_in(http, issuer)
    other.cookies.update(http.cookies)
    assert read_principal(other)["user"] == "anna"
    issuer.refresh_tokens.clear()
    with structlog.testing.capture_logs() as logged:
        assert http.get("/v1/session").status_code == 401
    (line,) = [each for each in logged if each["event"] == "session ended by the identity provider"]
    assert line["reason"] == "invalid_grant: The refresh token is not valid."
    assert other.get("/v1/session").status_code == 401


def test_two_processes_do_not_use_a_refresh_token_twice(open_api: OpenApi, issuer: Issuer) -> None:
    api = open_api()
    browsers = [browser(api) for _ in range(4)]
    sign_in(browsers[0], issuer)
    for each in browsers[1:]:
        each.cookies.update(browsers[0].cookies)
    for (
        each
    ) in browsers:  # FastAPI builds the routes at the first request, and changes the filters of warnings meanwhile.
        assert each.get("/v1/session").status_code == 200
    with ThreadPoolExecutor(len(browsers)) as threads:
        for _ in range(5):
            answers = list(threads.map(lambda http: http.get("/v1/session").status_code, browsers))
            assert answers == [200] * len(browsers)


@pytest.mark.parametrize("claims", [{"sub": "bob"}, {"aud": "another"}, {"exp": 1}, {"iss": "https://evil.example"}])
def test_a_new_token_of_another_person_or_client_ends_the_session(
    open_api: OpenApi, issuer: Issuer, claims: dict[str, Any]
) -> None:
    http = browser(open_api(oidc_user_claim="name"))
    sign_in(http, issuer, name="anna")
    issuer.refreshed = claims
    assert http.get("/v1/session").status_code == 401


def test_somebody_with_another_name_signs_in_again(open_api: OpenApi, issuer: Issuer) -> None:
    http = browser(open_api(oidc_user_claim="name"))
    sign_in(http, issuer, name="anna")
    issuer.refreshed = {"name": "bob"}
    assert http.get("/v1/session").status_code == 401


@pytest.mark.parametrize(
    "trouble",
    [
        {"is_away": True},
        {"refusal": (503, {})},
        {"refusal": (429, {"error": "slow_down"})},
        {"refusal": (401, {"error": "invalid_client"})},
        {"refusal": (200, {"error": "temporarily_unavailable"})},
    ],
)
def test_a_provider_that_is_away_ends_no_session_before_the_time_of_the_setting(
    open_api: OpenApi, issuer: Issuer, trouble: dict[str, Any]
) -> None:
    http = browser(open_api(oidc_session_away_seconds=600))
    sign_in(http, issuer)
    for name, value in trouble.items():
        setattr(issuer, name, value)
    for _ in range(3):
        assert read_principal(http)["user"] == "anna"


def test_a_provider_that_is_away_for_longer_ends_sessions(open_api: OpenApi, issuer: Issuer) -> None:
    http = browser(open_api(oidc_session_away_seconds=0))
    sign_in(http, issuer)
    issuer.is_away = True
    assert http.get("/v1/session").status_code == 401


def test_without_refresh_tokens_a_session_lasts_as_long_as_the_settings_say(open_api: OpenApi, issuer: Issuer) -> None:
    issuer.refreshes = False
    http = browser(open_api(oidc_session_away_seconds=0))
    sign_in(http, issuer)
    issuer.is_away = True
    assert read_principal(http)["user"] == "anna"


def test_an_answer_without_an_identity_token_confirms_the_session(open_api: OpenApi, issuer: Issuer) -> None:
    http = browser(open_api(oidc_session_away_seconds=0))
    sign_in(http, issuer)
    issuer.refusal = (200, {"access_token": "a", "token_type": "Bearer"})
    assert read_principal(http)["groups"] == ["hr"]
