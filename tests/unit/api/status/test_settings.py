"""The settings in force over HTTP, and who may see their values."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import delete

from ingest.storage.accounts.records import Scope
from ingest.storage.db.database import write_transaction
from ingest.storage.db.schema import api_keys, tenants
from tests.support.asking import AskedApi, asked_api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        api.services.settings = api.services.settings.model_copy(
            update={"llm": "http://gpu:8000/v1 qwen", "llm_api_key": SecretStr("hush")}
        )
        yield api


def leave_one_tenant(api: AskedApi) -> None:
    with write_transaction(api.engine) as connection:
        connection.execute(delete(api_keys).where(api_keys.c.tenant_id == "bob"))
        connection.execute(delete(tenants).where(tenants.c.id == "bob"))


def test_the_admin_of_the_only_tenant_sees_values_and_no_secret(api: AskedApi) -> None:
    leave_one_tenant(api)
    found = api.get("/v1/settings")
    settings = {each["variable"]: each for each in found["settings"]}
    assert found["withheld"] is False
    assert settings["LEADLINE_LLM"]["value"] == "http://gpu:8000/v1 qwen"
    assert settings["LEADLINE_LLM"]["default"] == "local"
    assert settings["LEADLINE_LLM_API_KEY"]["is_set"] is True
    assert settings["LEADLINE_LLM_API_KEY"]["value"] is None


def test_only_operators_see_the_values_of_an_installation_of_several_tenants(api: AskedApi) -> None:
    withheld = api.get("/v1/settings")
    assert withheld["withheld"] is True
    assert {each["value"] for each in withheld["settings"]} == {None}
    keys = [each for each in withheld["settings"] if each["variable"] == "LEADLINE_LLM_API_KEY"]
    assert [each["is_set"] for each in keys] == [False]
    _, key = api.services.keys.issue_key("ann", "an operator", scopes=[Scope.ADMIN, Scope.OPERATOR])
    found = api.http.get("/v1/settings", headers={"Authorization": f"Bearer {key}"}).json()
    assert found["withheld"] is False
    assert "http://gpu:8000/v1 qwen" in [each["value"] for each in found["settings"]]


def test_settings_need_the_scope_admin(api: AskedApi) -> None:
    _, key = api.services.keys.issue_key("ann", "a reader", scopes=[Scope.READ, Scope.ASK, Scope.WRITE])
    assert api.http.get("/v1/settings", headers={"Authorization": f"Bearer {key}"}).status_code == 403


@pytest.mark.parametrize(("llm", "is_built_in"), [("local", True), ("http://gpu:8000/v1 qwen", False)])
def test_the_status_names_the_language_model_and_tells_whether_it_is_built_in(
    tmp_path: Path, llm: str, is_built_in: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.status.routes import _describe_language_model

    with asked_api(tmp_path) as api:
        monkeypatch.setattr(api.services, "settings", api.services.settings.model_copy(update={"llm": llm}))
        monkeypatch.setattr(api.answers, "get_state", lambda: {"state": "ready", "model": "qwen"}, raising=False)
        described = _describe_language_model(api.services)
        assert described is not None
        assert (described.model, described.is_built_in) == ("qwen", is_built_in)
        monkeypatch.setattr(api.answers, "get_state", lambda: {"state": "none", "model": "none"})
        assert _describe_language_model(api.services) is None
