from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from ingest.storage.answers.replies import Replies, StoredReply
from ingest.storage.db.database import build_sqlite_url, open_database
from tests.support.postgres import disposed


def test_kept_replies_are_shown_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path))
    monkeypatch.delenv("LEADLINE_DATABASE_URL", raising=False)
    with disposed(open_database(build_sqlite_url(tmp_path / "catalog.sqlite"))) as engine:
        for tenant in ("default", "ann"):
            Replies(engine).store_replies(
                tenant, [StoredReply(f"{tenant}{number}", "x" * 9_800, 1, 1, 1) for number in range(20)]
            )
    command = CliRunner()
    assert "20 cached replies, 0.2 MB" in command.invoke(app, ["replies", "show"]).stdout
    assert "Deleted 20 cached replies" in command.invoke(app, ["replies", "forget"]).stdout
    assert "0 cached replies" in command.invoke(app, ["replies", "show"]).stdout
    assert "20 cached replies" in command.invoke(app, ["replies", "show", "--tenant", "ann"]).stdout
