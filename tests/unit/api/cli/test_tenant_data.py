"""`leadline tenants export` and `delete`."""

import zipfile
from pathlib import Path

from typer.testing import CliRunner

from api.build.embedded import open_catalog
from api.cli.main import app
from ingest.storage.audit.store import AuditFilter


def test_a_tenant_is_exported_to_a_new_file_and_deleted_only_by_who_types_its_name(tmp_path: Path) -> None:
    command, environment, file = CliRunner(), {"LEADLINE_HOME": str(tmp_path)}, tmp_path / "all.zip"
    with open_catalog(tmp_path) as opened:
        opened.catalog.ensure_tenant("ann")
    exported = command.invoke(app, ["tenants", "export", "ann", str(file)], env=environment)
    assert exported.exit_code == 0, exported.output
    assert "manifest.json" in zipfile.ZipFile(file).namelist()
    again = command.invoke(app, ["tenants", "export", "ann", str(file)], env=environment)
    assert (again.exit_code, "already" in again.output) == (2, True)
    assert command.invoke(app, ["tenants", "export", "eve", str(tmp_path / "no.zip")], env=environment).exit_code == 1
    assert not (tmp_path / "no.zip").exists()
    refused = command.invoke(app, ["tenants", "delete", "ann"], env=environment, input="bob\n")
    assert (refused.exit_code, "Nothing was deleted." in refused.output) == (2, True)
    assert command.invoke(app, ["tenants", "delete", "ann"], env=environment, input="ann\n").exit_code == 0
    with open_catalog(tmp_path) as opened:
        actions = [entry.action for entry in opened.audit.list_latest(AuditFilter("ann"))]
    assert actions == ["tenant.deleted", "tenant.exported", "tenant.created"]
