"""The service with a certified identity provider."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from tests.support.certified_provider import CertifiedProvider, running_provider

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
