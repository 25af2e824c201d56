"""The service with a certified identity provider."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api.cli.main import app
from api.main import create_app
from tests.support.certified_provider import CertifiedProvider, running_provider
from tests.support.service import running
from tests.support.serving import serving

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("node")]


@pytest.fixture(scope="module")
def provider() -> Iterator[CertifiedProvider]:
    with running_provider() as made:
        yield made


def test_the_check_of_a_provider_accepts_its_access_token_and_refuses_its_identity_token(
    provider: CertifiedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEADLINE_DATABASE_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    for name, value in {"home": str(tmp_path), **provider.settings}.items():
        monkeypatch.setenv(f"LEADLINE_{name.upper()}", value)
    tokens = provider.fetch_tokens("ann")

    def check(token: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["identity", "check", "--token-file", "-"], input=token)
        return found.exit_code, re.sub(r"[ \t]+", " ", found.stdout)

    code, shown = check(tokens["access_token"])
    assert code == 0
    for line in (
        "openid profile email │",
        "refresh tokens │ offered",
        "back-channel logout │ offered",
        "sign-out at the provider │ offered",
        "token │ accepted",
        "person │ ann │",
    ):
        assert line in shown
    code, shown = check(tokens["id_token"])
    assert code == 1
    assert "token │ refused: not_an_access_token" in shown


@pytest.fixture
def browsers(provider: CertifiedProvider, tmp_path: Path) -> Iterator[tuple[TestClient, TestClient]]:
    """Ann's browser at two processes, each of which refreshes sessions before each request."""
    settings = {**provider.settings, "oidc_session_refresh_seconds": 1e-6}
    provider.change_account("ann", disabled=False, groups=["lawyers"])
    with running(tmp_path / "home", **settings) as (services, _):
        made = [TestClient(create_app(services), base_url="http://127.0.0.1", follow_redirects=False) for _ in "12"]
        asked = made[0].get("/sign-in/provider").headers["location"]
        assert made[0].get(provider.sign_in(asked, "ann")).status_code == 303
        made[1].cookies.update(made[0].cookies)
        yield made[0], made[1]


def test_sessions_follow_a_provider_that_replaces_refresh_tokens(
    provider: CertifiedProvider, browsers: tuple[TestClient, TestClient]
) -> None:
    before = provider.count_refreshes()
    for http in browsers * 2:
        assert http.get("/v1/session").json()["principal"]["groups"] == ["lawyers"]
    assert provider.count_refreshes() - before == 4
    provider.change_account("ann", groups=["clerks"])
    for http in browsers:
        assert http.get("/v1/session").json()["principal"]["groups"] == ["clerks"]
    provider.set_away(True)
    for http in browsers:
        assert http.get("/v1/session").status_code == 200
    provider.set_away(False)


def test_somebody_who_is_disabled_at_the_provider_is_signed_out(
    provider: CertifiedProvider, browsers: tuple[TestClient, TestClient]
) -> None:
    provider.change_account("ann", disabled=True)
    for http in browsers:
        assert http.get("/v1/session").status_code == 401


def test_a_session_that_is_ended_at_the_provider_ends_here(provider: CertifiedProvider, tmp_path: Path) -> None:
    provider.change_account("ann", disabled=False)
    with running(tmp_path / "home", **provider.settings) as (services, _), serving(create_app(services)) as url:
        provider.set_service(url)
        http = TestClient(create_app(services), base_url="http://127.0.0.1", follow_redirects=False)
        asked = http.get("/sign-in/provider").headers["location"]
        assert http.get(provider.sign_in(asked, "ann")).status_code == 303
        assert http.get("/v1/session").status_code == 200
        provider.end_sessions("ann")
        assert http.get("/v1/session").status_code == 401
