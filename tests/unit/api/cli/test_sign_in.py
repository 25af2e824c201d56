"""`leadline sign-in`: a link to the portal, for whoever has the data folder."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_catalog
from api.cli.client import write_service_file
from api.cli.environment import SettingsError
from api.cli.main import app
from ingest.storage.accounts.records import TENANT_SCOPES, Scope
from ingest.storage.errors import KeyStateError


def link(*words: str) -> str:
    found = CliRunner().invoke(app, ["sign-in", *words], catch_exceptions=False)
    assert found.exit_code == 0
    return found.stdout.strip()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path))
    return tmp_path


def test_a_link_to_the_running_service_signs_in_as_the_portals_key_or_the_one_that_is_named(home: Path) -> None:
    write_service_file(home, "http://127.0.0.1:8123")
    with open_catalog(home) as opened:
        reader = opened.keys.issue_key(DEFAULT_TENANT, "reader", scopes=[Scope.READ])[0]
        address, _, ticket = link().partition("/sign-in#")
        assert address == "http://127.0.0.1:8123"
        principal = opened.identities.sessions.redeem_ticket(ticket)
        assert principal is not None
        assert principal.scopes == TENANT_SCOPES
        named = opened.identities.sessions.redeem_ticket(link("--key", reader.id).partition("#")[2])
        assert named is not None
        assert (named.key_id, named.scopes) == (reader.id, frozenset({Scope.READ}))
        opened.keys.revoke_key(DEFAULT_TENANT, reader.id)
        with pytest.raises(KeyStateError):
            link("--key", reader.id)


def test_without_a_service_it_says_how_to_start_one(home: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        link()
    assert str(home) in refused.value.detail
    assert "LEADLINE_HOME" in refused.value.hint
    assert "leadline up" in refused.value.hint
