"""The cluster's compose file says nothing that the code does not know."""

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from api.cli.main import app
from api.settings import Settings
from workers.enqueue.celery_app import QUEUE_NAMES
from workers.settings import ClusterSettings

_FOLDER = Path(__file__).parents[2] / "deploy"


@pytest.fixture
def services() -> dict[str, Any]:
    compose = yaml.safe_load((_FOLDER / "cluster" / "compose.yaml").read_text())
    return dict(compose["services"])


def test_every_setting_that_is_given_exists(services: dict[str, Any]) -> None:
    known = {f"LEADLINE_{name.upper()}" for kind in (Settings, ClusterSettings) for name in kind.model_fields}
    given = {name for service in services.values() for name in service.get("environment", {})}
    assert {name for name in given if name.startswith("LEADLINE_")} <= known


def test_whoever_asks_a_model_has_all_that_is_set_of_it(services: dict[str, Any]) -> None:
    of_llm = {"LEADLINE_LLM", "LEADLINE_LLM_API_KEY", "LEADLINE_LLM_CONTEXT_TOKENS", "LEADLINE_MODEL_PROFILES"}
    of_models = of_llm | {"LEADLINE_CHECK", "LEADLINE_JUDGE", "LEADLINE_JUDGE_API_KEY"}
    for name in ("api", "runs"):
        given, volumes = services[name]["environment"], services[name]["volumes"]
        assert of_models <= given.keys()
        inside = given["LEADLINE_MODEL_PROFILES"].removeprefix("${LEADLINE_MODEL_PROFILES:+").removesuffix("}")
        assert any(volume.startswith("${LEADLINE_MODEL_PROFILES:-") and f"}}:{inside}:" in volume for volume in volumes)


def test_what_is_given_without_a_value_is_as_if_it_were_not_set(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in services["api"]["environment"].items():
        if re.fullmatch(r"\$\{\w+:(?:-|\+[^}]*)\}", value):
            monkeypatch.setenv(name, "")
    settings = Settings(home=tmp_path)
    assert (settings.llm_api_key, settings.llm_context_tokens, settings.model_profiles) == (None, None, None)
    assert (settings.helpers["judge"], settings.judge_api_key) == (None, None)


def test_the_vector_server_is_one_release_within_a_minor_of_its_client(services: dict[str, Any]) -> None:
    image, _, release = services["qdrant"]["image"].partition(":v")
    assert (image, release.count(".")) == ("qdrant/qdrant", 2)
    server, client = ([int(part) for part in each.split(".")] for each in (release, version("qdrant-client")))
    assert tuple(server[:2]) >= (1, 19)
    assert server[0] == client[0]
    assert abs(server[1] - client[1]) <= 1


def test_every_command_exists_and_every_queue_is_served(services: dict[str, Any]) -> None:
    commands = [str(service.get("command", "")).split() for service in services.values()]
    ours = [command for command in commands if command[:1] == ["leadline"]]
    assert {command[1] for command in ours} == {"api", "worker", "beat", "models"}
    assert {command[1] for command in ours} <= set(get_command(app).commands)  # type: ignore[attr-defined]
    served = {queue for command in ours if "--queues" in command for queue in command[3].split(",")}
    assert served == set(QUEUE_NAMES)


def test_the_hardened_sandbox_can_be_had_as_it_is_shipped(services: dict[str, Any]) -> None:
    for image in ("cluster", "embedded"):
        shipped = (_FOLDER / image / "Dockerfile").read_text().rpartition("FROM ")[2]
        assert re.search(r"apt-get install [^\n]*\bbubblewrap\b", shipped)
    for name in ("api", "worker", "runs"):
        assert {"LEADLINE_SANDBOX", "LEADLINE_PARSER_ISOLATION"} <= services[name]["environment"].keys()
    unit = (_FOLDER / "embedded" / "leadline.service").read_text()
    families = re.findall(r"^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE)
    assert [set(each.split()) for each in families] == [{"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"}]
    assert "RestrictNamespaces" not in unit


def test_hardened_services_exist_and_those_that_run_code_may_make_namespaces(services: dict[str, Any]) -> None:
    hardened = yaml.safe_load((_FOLDER / "cluster" / "hardened.yaml").read_text())["services"]
    assert hardened.keys() <= services.keys()
    for name, service in hardened.items():
        assert service["environment"] == {"LEADLINE_SANDBOX": "bubblewrap", "LEADLINE_PARSER_ISOLATION": "require"}
        assert service["cap_drop"] == ["ALL"]
        assert ("seccomp:unconfined" in service["security_opt"]) == (name in ("api", "runs"))


def test_the_settings_of_a_cluster_are_all_described() -> None:
    described = set(re.findall(r"LEADLINE_[A-Z_]+", (_FOLDER / "README.md").read_text()))
    own = {f"LEADLINE_{name.upper()}" for name in ClusterSettings.model_fields} - {"LEADLINE_MIN_FREE_BYTES"}
    assert own <= described
