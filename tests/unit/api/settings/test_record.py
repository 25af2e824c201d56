"""The audit log over the API and at the command line, and the settings that a start records in it."""

import json
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import update
from typer.testing import CliRunner

from api.build.embedded import open_catalog
from api.cli.main import app
from api.settings.record import record_settings
from api.settings.settings import Settings
from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, AuditFilter
from ingest.storage.db.database import write_transaction
from ingest.storage.db.schema import audit
from tests.support.asking import asked_api


def test_a_tenants_log_is_shown_page_by_page_with_who_acted_in_which_request(tmp_path: Path) -> None:
    with asked_api(tmp_path) as api:
        run = api.ask(background=True, status=202)["id"]
        api.http.post(f"/v1/runs/{run}/cancel")
        deleted = api.http.delete(f"/v1/runs/{run}", headers={"X-Request-Id": "request-1"})
        assert deleted.status_code == 204
        page = api.get("/v1/audit", limit=1)
        (newest,) = page["entries"]
        key = api.http.headers["Authorization"].split("_")[1]
        assert (newest["action"], newest["object"], newest["request"]) == ("run.deleted", f"run:{run}", "request-1")
        assert newest["actor"] == {"kind": "caller", "key": key, "user": None}
        rest = api.get("/v1/audit", cursor=page["next_cursor"])
        assert [entry["action"] for entry in rest["entries"]] == ["key.created", "tenant.created"]
        assert (rest["next_cursor"], api.get("/v1/audit", action="document.deleted")["entries"]) == (None, [])
        theirs = api.http.get("/v1/audit", headers=api.stranger).json()["entries"]
        assert [entry["object"] for entry in theirs if entry["action"] != "key.created"] == ["tenant:bob"]
        assert api.http.get("/v1/audit", headers={"Authorization": ""}).status_code == 401


def test_the_commands_export_the_log_with_its_head_and_find_what_was_changed_or_cut_off(tmp_path: Path) -> None:
    command, environment, file = CliRunner(), {"LEADLINE_HOME": str(tmp_path)}, tmp_path / "log.jsonl"
    with open_catalog(tmp_path) as opened:
        opened.keys.issue_key("default", "[a] key")
    exported = command.invoke(app, ["audit", "export", str(file)], env=environment)
    head = exported.stderr.rpartition(" ")[2].strip()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["sequence"], line["action"]) for line in lines] == [(1, "tenant.created"), (2, "key.created")]
    assert head == f"2:{lines[-1]['hash']}"
    listed = command.invoke(app, ["audit", "list", "--json", "--action", "key.created"], env=environment)
    assert json.loads(listed.stdout) == lines[1]
    assert "key.created" in command.invoke(app, ["audit", "list"], env=environment | {"COLUMNS": "200"}).stdout
    verified = command.invoke(app, ["audit", "verify", "--anchor", head], env=environment)
    assert f"The hash chain of all 2 entries is intact. Head: {head}" in verified.stdout
    ahead = command.invoke(app, ["audit", "verify", "--anchor", head.replace("2:", "3:", 1)], env=environment)
    assert (ahead.exit_code, "3: entries 3 to 3 are missing at the end" in ahead.stdout) == (1, True)
    assert command.invoke(app, ["audit", "verify", "--anchor", "3"], env=environment).exit_code == 2


def test_settings_are_recorded_at_a_start_when_they_differ_and_secrets_only_as_a_digests_beginning(
    tmp_path: Path,
) -> None:
    with asked_api(tmp_path) as api:
        made = {
            "home": tmp_path,
            "port": 9000,
            "llm": "http://me:hidden@gpu/v1 qwen",
            "llm_api_key": SecretStr("hidden"),
        }
        for more in ({}, {}, {"llm_api_key": SecretStr("other")}):
            record_settings(Audit(api.engine), "embedded", Settings.model_validate(made | more))
        found = Audit(api.engine).list_latest(AuditFilter(action=Action.SETTINGS_CHANGED))
    later, first = [entry.details["settings"] for entry in found]
    assert first["LEADLINE_PORT"] == 9000
    assert [first[name][:7] for name in ("LEADLINE_LLM", "LEADLINE_LLM_API_KEY")] == ["sha256:"] * 2
    assert first["LEADLINE_LLM_API_KEY"] != later["LEADLINE_LLM_API_KEY"]
    assert "hidden" not in str(found)


def test_a_log_that_was_changed_ends_the_command_with_what_is_wrong(tmp_path: Path) -> None:
    with asked_api(tmp_path) as api, write_transaction(api.engine) as connection:
        connection.execute(update(audit).where(audit.c.sequence == 2).values(object="tenant:eve"))
    done = CliRunner().invoke(app, ["audit", "verify"], env={"LEADLINE_HOME": str(tmp_path)})
    assert (done.exit_code, done.stdout) == (1, "2: the entry was changed after it was written\n")
