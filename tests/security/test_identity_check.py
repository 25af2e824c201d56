"""`leadline identity check`: what it says of a provider over HTTP, and of its tokens."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.doctor import _check_identity_provider
from api.cli.main import app
from api.settings.settings import Settings
from tests.support.issuer import AUDIENCE, Issuer, running_issuer

Check = Callable[..., tuple[int, str]]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as made:
        yield made


@pytest.fixture
def check(issuer: Issuer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that runs the command, with a token on standard input if one is given."""
    monkeypatch.delenv("LEADLINE_DATABASE_URL", raising=False)
    named = {"HOME": str(tmp_path), "OIDC_ISSUER": issuer.url, "OIDC_AUDIENCE": AUDIENCE, "OIDC_CLIENT_ID": "portal"}
    for name, value in named.items():
        monkeypatch.setenv(f"LEADLINE_{name}", value)
    monkeypatch.setenv("COLUMNS", "300")

    def run(token: str | None = None, **settings: str) -> tuple[int, str]:
        for name, value in settings.items():
            monkeypatch.setenv(f"LEADLINE_{name}", value)
        words = ["identity", "check", *([] if token is None else ["--token-file", "-"])]
        found = CliRunner().invoke(app, words, input=token)
        return found.exit_code, re.sub(r"[ \t]+", " ", found.stdout)

    return run


def test_a_provider_is_compared_with_the_settings(issuer: Issuer, check: Check) -> None:
    code, shown = check(PUBLIC_URL="https://leadline.example.org")
    assert code == 0
    for line in (
        f"2 for signatures at {issuer.url}/keys",
        "https://leadline.example.org/sign-in/provider",
        "openid profile email",
        "the provider does not list the claim `groups`",
        "refresh tokens │ not offered │ Portal sessions do not follow the provider. They last up to 168 hours",
        "back-channel logout │ not offered",
        "sign-out at the provider │ not offered",
    ):
        assert line in shown
    issuer.described.update(
        scopes_supported=["openid", "email", "profile", "groups"],
        claims_supported=["sub", "groups"],
        grant_types_supported=["authorization_code", "refresh_token"],
        backchannel_logout_supported=True,
        end_session_endpoint=f"{issuer.url}/end",
    )
    shown = check()[1]
    assert "openid profile email groups" in shown
    assert "lists the claim `groups`" in shown
    assert "not offered" not in shown
    assert "refresh tokens │ offered │ With them, the provider confirms portal sessions every 300 seconds. │" in shown
    issuer.described["scopes_supported"].append("offline_access")
    assert "add `offline_access` to LEADLINE_OIDC_REQUEST_SCOPE" in check()[1]
    assert "not offered: custom" in check(OIDC_REQUEST_SCOPE="openid custom")[1]


@pytest.mark.parametrize(
    ("described", "settings", "said"),
    [
        ({"issuer": "https://evil.example"}, {}, "describes the issuer"),
        ({"jwks_uri": None}, {}, "has no jwks_uri"),
        ({"jwks_uri": "http://127.0.0.1:1/keys"}, {}, "cannot be read"),
        ({"id_token_signing_alg_values_supported": ["PS256"]}, {}, "Set LEADLINE_OIDC_ALGORITHMS"),
        ({}, {"OIDC_REQUEST_SCOPE": "profile"}, "must include `openid`"),
    ],
)
def test_what_keeps_people_from_signing_in_fails_the_check(
    issuer: Issuer, check: Check, described: dict[str, object], settings: dict[str, str], said: str
) -> None:
    issuer.described.update(described)
    code, shown = check(**settings)
    assert code == 1
    assert said in shown


def test_a_token_shows_whom_it_identifies_and_by_which_settings(issuer: Issuer, check: Check) -> None:
    token = issuer.token(groups=["/lawyers"])
    code, shown = check(token)
    assert code == 0
    for line in (
        "tenant │ default │ by LEADLINE_OIDC_TENANT",
        "person │ anna │ by the claim `sub` (LEADLINE_OIDC_USER_CLAIM)",
        "groups │ /lawyers │ by the claim `groups` (LEADLINE_OIDC_GROUPS_CLAIM). Names begin with `/`",
        "scopes │ ask, read │ by * of `groups` in LEADLINE_OIDC_SCOPES",
    ):
        assert line in shown
    assert not any(part in shown for part in token.split("."))
    assert "The token has no such claim" in check(issuer.token(groups=None))[1]


def test_a_refused_token_shows_why(issuer: Issuer, check: Check) -> None:
    for token, said in (
        (issuer.token(nonce="n"), "refused: not_an_access_token │ the claim `nonce`"),
        (issuer.token(aud="account"), "refused: audience │ `aud` is account; LEADLINE_OIDC_AUDIENCE is leadline"),
        (issuer.token(exp=time.time() - 3_600), "refused: expired"),
        ("", "refused: malformed"),
    ):
        code, shown = check(token)
        assert code == 1
        assert said in shown


def test_a_token_is_read_from_a_file(issuer: Issuer, check: Check, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{issuer.token()}\n")
    found = CliRunner().invoke(app, ["identity", "check", "--token-file", str(file)])
    assert (found.exit_code, "accepted" in found.stdout) == (0, True)
    absent = CliRunner().invoke(app, ["identity", "check", "--token-file", str(tmp_path / "absent")])
    assert "The token cannot be read" in str(absent.exception)


def test_doctor_names_only_problems_of_the_provider(issuer: Issuer) -> None:
    settings = Settings.model_validate({"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE})
    assert [(each.what, each.advice) for each in _check_identity_provider(settings)] == [("identity provider", "")]
    issuer.is_away = True
    (wrong,) = _check_identity_provider(settings)
    assert wrong.what == "identity provider: issuer"
    assert "Set LEADLINE_OIDC_ISSUER" in wrong.advice
    assert list(_check_identity_provider(Settings.model_validate({}))) == []
