"""More work than can be done soon: refused in words, paused and resumed, and shown."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from ingest.storage.queue.records import JobKind
from tests.support.service import running


def test_uploads_are_refused_while_too_many_documents_wait(tmp_path: Path) -> None:
    with running(tmp_path, max_backlog=2) as (services, client):
        services.jobs.pause_kind(JobKind.INGEST)
        answers = [client.http.post("/v1/documents", content=f"Text {n}.".encode()) for n in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert answers[2].json()["code"] == "backlog_full"
        assert int(answers[2].headers["Retry-After"]) > 0
        assert len(client.get("/v1/documents")["documents"]) == 2


def test_what_waits_is_shown_and_a_paused_kind_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path))
    monkeypatch.delenv("LEADLINE_DATABASE_URL", raising=False)
    command = CliRunner()
    assert command.invoke(app, ["queue", "pause", "ingest"]).exit_code == 0
    with running(tmp_path) as (_, client):
        client.http.post("/v1/documents", content=b"Text.")
        shown = {row["kind"]: row for row in json.loads(command.invoke(app, ["queue", "show", "--json"]).stdout)}
        assert shown["ingest"]["queued_by_tenant"] == {"default": 1}
        assert shown["ingest"]["paused_since"] is not None
        assert "paused for 0 min" in command.invoke(app, ["queue", "show"]).stdout
        assert command.invoke(app, ["queue", "resume", "ingest"]).exit_code == 0
    shown = {row["kind"]: row for row in json.loads(command.invoke(app, ["queue", "show", "--json"]).stdout)}
    assert shown["ingest"]["paused_since"] is None
