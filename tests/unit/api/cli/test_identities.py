"""Tenants, users, keys and grants by command, on a data folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from typer.testing import CliRunner

from api.build.embedded import open_catalog
from api.cli.main import app
from ingest.storage.accounts.records import Principal, Role, Scope
from ingest.storage.db import database

Leadline = Callable[..., str]


@pytest.fixture
def leadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leadline:
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("LEADLINE_DATABASE_URL", raising=False)

    def run(*words: str) -> str:
        found = CliRunner().invoke(app, list(words))
        if found.exception is not None:
            raise found.exception
        return found.stdout

    return run


def principal(home: Path, key: str) -> Principal | None:
    with open_catalog(home) as opened:
        return opened.keys.authenticate(key.strip().splitlines()[0])


def test_a_second_tenant_gets_users_and_keys_of_its_own(leadline: Leadline, tmp_path: Path) -> None:
    leadline("tenants", "create", "acme")
    leadline("users", "create", "anna", "--group", "hr", "--group", "board", "--tenant", "acme")
    key = leadline(
        "keys", "create", "phone", "--scope", "read", "--user", "anna", "--expires", "90d", "--tenant", "acme"
    )
    found = principal(tmp_path, key)
    assert found is not None
    assert found.user == "anna"
    assert found.groups == frozenset({"hr", "board"})
    assert found.scopes == frozenset({Scope.READ})
    assert found.expires_at is not None
    assert "anna" in leadline("keys", "list", "--tenant", "acme")
    assert "phone" not in leadline("keys", "list")
    leadline("users", "groups", "anna", "--group", "board", "--tenant", "acme")
    assert "hr" not in leadline("users", "list", "--tenant", "acme")
    leadline("tenants", "suspend", "acme")
    assert principal(tmp_path, key) is None
    leadline("tenants", "resume", "acme")
    leadline("tenants", "rename", "acme", "acme & sons")
    assert "acme & sons" in leadline("tenants", "list")
    assert principal(tmp_path, key) is not None
    leadline("users", "delete", "anna", "--tenant", "acme & sons")
    assert principal(tmp_path, key) is None


def test_a_narrow_terminal_shows_whole_ids(leadline: Leadline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = principal(tmp_path, leadline("keys", "create", "the key of a program with a long name"))
    assert key is not None
    monkeypatch.setenv("COLUMNS", "80")
    assert str(key.key_id) in leadline("keys", "list")


def test_a_key_of_the_command_line_manages_nobody_unless_it_is_asked_for(leadline: Leadline, tmp_path: Path) -> None:
    usual = principal(tmp_path, leadline("keys", "create"))
    assert usual is not None
    assert usual.scopes == {Scope.READ, Scope.WRITE, Scope.ASK}
    operator = principal(tmp_path, leadline("keys", "create", "runs it", "--scope", "operator"))
    assert operator is not None
    assert operator.scopes == {Scope.OPERATOR}


def test_a_key_is_rotated_by_command(leadline: Leadline, tmp_path: Path) -> None:
    old = leadline("keys", "create", "service")
    found = principal(tmp_path, old)
    assert found is not None
    new = leadline("keys", "rotate", str(found.key_id), "--grace", "1h")
    assert principal(tmp_path, old) is not None
    successor = principal(tmp_path, new)
    assert successor is not None
    assert successor.name == "service"
    assert f"replaced by {successor.key_id}" in leadline("keys", "list")


def test_collections_are_granted_and_opened_by_command(leadline: Leadline, tmp_path: Path) -> None:
    leadline("collections", "grant", "staff", "group:hr", "writer")
    assert "group:hr (writer)" in leadline("collections", "list")
    with pytest.raises(Exception, match="last grant"):
        leadline("collections", "revoke", "staff", "group:hr")
    leadline("collections", "revoke", "staff", "group:hr", "--open-to-all")
    assert "everyone" in leadline("collections", "list")
    with pytest.raises(Exception, match="not a valid duration"):
        leadline("keys", "create", "--expires", "soon")
    with open_catalog(tmp_path) as opened:
        opened.identities.grants.grant_role("default", "staff", "user:ann", Role.READER)
    assert "user:ann (reader)" in leadline("collections", "list")


def test_the_schema_is_brought_to_this_release_as_a_step_of_its_own(leadline: Leadline, tmp_path: Path) -> None:
    assert not (tmp_path / "catalog.sqlite").exists()
    head = ScriptDirectory(str(Path(database.__file__).parent / "migrations")).get_current_head()
    assert f"schema {head}" in leadline("migrate")
    assert (tmp_path / "catalog.sqlite").exists()
