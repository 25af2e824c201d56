import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.build.embedded import open_catalog
from api.cli.main import app
from ingest.storage.quotas.records import Account, Spending

command = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path))
    monkeypatch.setenv("LEADLINE_TENANT_QUOTAS", "documents=100")
    monkeypatch.delenv("LEADLINE_DATABASE_URL", raising=False)
    return tmp_path


def shown(*options: str) -> dict[str, float]:
    found = json.loads(command.invoke(app, ["quotas", "show", "--json", *options]).stdout)
    return {f"{each['of']} {each['quota']}": each["limit"] for each in found}


def test_quotas_are_set_shown_and_reset(home: Path) -> None:
    assert shown() == {"tenant documents": 100}
    made = command.invoke(app, ["quotas", "set", "tokens_per_day=2m", "dollars_per_month=12.5", "documents=none"])
    assert "2,000,000" in made.stdout
    assert "$12.50" in made.stdout
    with open_catalog(home) as opened:
        key = opened.keys.issue_key("default", "a key")[0].id
    command.invoke(app, ["quotas", "set", "requests_per_minute=60", "--key", key])
    tenant = {"tenant tokens_per_day": 2_000_000, "tenant dollars_per_month": 12.5}
    assert shown() == tenant
    assert shown("--key", key) == {**tenant, "key requests_per_minute": 60}
    command.invoke(app, ["quotas", "set", "documents=default", "tokens_per_day=default"])
    assert shown() == {"tenant documents": 100, "tenant dollars_per_month": 12.5}


def test_what_cannot_be_set_is_refused_with_the_way_to_write_it() -> None:
    for change in ("tokens=5", "bytes=many", "bytes"):
        refused = command.invoke(app, ["quotas", "set", change])
        assert refused.exception is not None
        assert "NAME=AMOUNT" in str(refused.exception) or "2.5m" in str(refused.exception)
    assert (
        "key 'none' not found"
        in str(command.invoke(app, ["quotas", "set", "bytes=1", "--key", "none"]).exception).lower()
    )
    assert "not found" in str(command.invoke(app, ["quotas", "set", "bytes=1", "--tenant", "nobody"]).exception)


def test_usage_is_shown_by_day_and_key(home: Path) -> None:
    with open_catalog(home) as opened:
        opened.quotas.charge(
            Account("default", "k"), "answer", "a", Spending(3, 1_200, 34, 5_000_000_000), reported_spending=Spending()
        )
    found = command.invoke(app, ["quotas", "usage"]).stdout
    assert "1,234" in found
    assert "$5.00" in found
    assert json.loads(command.invoke(app, ["quotas", "usage", "--json"]).stdout)[0]["calls"] == 3
