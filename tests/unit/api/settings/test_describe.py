"""The settings in force, described for administrators: each in its group, with its source, and no secret."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from api.settings.describe import SettingGroup, SettingSource, describe_settings
from api.settings.settings import Settings
from workers.settings import ClusterSettings

DOCS = Path(__file__).parents[4] / "docs" / "settings.md"
SECRET = "a very secret secret of 32 characters"


def read_documented_groups() -> dict[str, set[str]]:
    """Return the headings under which the documentation lists each variable."""
    found: dict[str, set[str]] = {}
    heading = ""
    for line in DOCS.read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif match := re.match(r"\| `(LEADLINE_\w+)` \|", line):
            found.setdefault(match[1], set()).add(heading)
    return found


def make_settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_each_setting_is_in_the_group_under_whose_heading_it_is_documented() -> None:
    documented = read_documented_groups()
    cluster = ClusterSettings(
        database_url=SecretStr("postgresql+psycopg://db/leadline"),
        redis_url=SecretStr("redis://host"),
        qdrant_url="http://qdrant:6333",
        home=Path("/srv"),
    )
    described = describe_settings((Settings(), cluster), {})
    assert {each.variable for each in described} <= documented.keys()
    vector_server = "How the vector server keeps the index"
    for each in described:
        headings = {
            SettingGroup.CLUSTER if heading == vector_server else heading for heading in documented[each.variable]
        }
        assert each.group in headings, each.variable
    assert [each.group for each in described] == sorted(
        (each.group for each in described), key=list(SettingGroup).index
    )
    assert all(each.description for each in described)


def test_a_value_comes_from_the_environment_a_file_the_command_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"LEADLINE_SHARE_DAYS": "7", "LEADLINE_LLM_API_KEY_FILE": "/run/secrets/llm"}
    monkeypatch.setenv("LEADLINE_SHARE_DAYS", "7")
    settings = Settings(llm_api_key=SecretStr(SECRET), port=8080)
    found = {each.variable: each for each in describe_settings((settings,), environment)}
    assert (found["LEADLINE_SHARE_DAYS"].source, found["LEADLINE_SHARE_DAYS"].value) == (SettingSource.ENVIRONMENT, 7)
    assert found["LEADLINE_SHARE_DAYS"].default == 30
    assert found["LEADLINE_LLM_API_KEY"].source is SettingSource.FILE
    assert found["LEADLINE_PORT"].source is SettingSource.COMMAND
    assert found["LEADLINE_HOST"].source is SettingSource.DEFAULT


def test_no_secret_and_no_password_in_an_address_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = make_settings(
        monkeypatch,
        LEADLINE_LLM="http://ann:hunter2@gpu:8000/v1 qwen",
        LEADLINE_LLM_API_KEY=SECRET,
        LEADLINE_MCP_STATE_KEYS=SECRET,
    )
    found = describe_settings((settings,), {})
    text = repr(found)
    assert SECRET not in text
    assert "hunter2" not in text
    key = next(each for each in found if each.variable == "LEADLINE_LLM_API_KEY")
    assert (key.is_secret, key.is_set, key.value) == (True, True, None)
    model = next(each for each in found if each.variable == "LEADLINE_LLM")
    assert model.value == "http://…@gpu:8000/v1 qwen"
