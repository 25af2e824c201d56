"""Dashboards and alerts ask for metrics and labels that the running code has, and each alert has a runbook."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

import api.status.metrics
import retrieval.search.metrics
import rlm.llm.metrics
import rlm.metrics
import workers.metrics
from ingest.storage.queue.records import JobKind
from rlm.answers import Check
from tests.support.deployment import API_PORT, DEPLOY, WORKER_PORT, composition
from tests.support.service import running

FOLDER = DEPLOY / "observability"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
_OURS = (api.status.metrics, retrieval.search.metrics, rlm.metrics, rlm.llm.metrics, workers.metrics)
# The labels that Prometheus adds to each target, and the metrics of its client.
_TARGET = {"instance", "job"}
_OTHERS = {
    **dict.fromkeys(
        ("up", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"), _TARGET
    ),
    "ALERTS": _TARGET,
}
# Of vLLM 0.32 and later, as its documentation lists them; a counter has `_total`.
_VLLM = {
    "num_requests_running": set[str](),
    "num_requests_waiting": set[str](),
    "kv_cache_usage_perc": set[str](),
    "num_preemptions_total": set[str](),
    "prefix_cache_hits_total": set[str](),
    "prefix_cache_queries_total": set[str](),
    "prompt_tokens_total": set[str](),
    "generation_tokens_total": set[str](),
    "admission_rejections_total": {"reason"},
    "time_to_first_token_seconds_bucket": {"le"},
    "inter_token_latency_seconds_bucket": {"le"},
    "spec_decode_num_draft_tokens_total": set[str](),
    "spec_decode_num_accepted_tokens_total": set[str](),
}
_VALUES = {
    "kind": {*JobKind, "prompt", "completion"},
    "check": set(Check),
    "outcome": {"done", "failed", "postponed", "lost"},
}
_NAME = re.compile(r"(?<![\w:$\"{.])((?:leadline|process|vllm:)[\w:]*|up|ALERTS)(?![\w:(])(\{[^}]*\})?")
_MATCHER = re.compile(r"(\w+)(=~|!~|!=|=)\"([^\"]*)\"")
_BY = re.compile(r"\bby \(([^)]*)\)")
_LEGEND = re.compile(r"\{\{(\w+)\}\}")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The labels of every series by its name: of the code's registries, and of what a running service shows."""
    found = {name: set(labels) for name, labels in _OTHERS.items()}
    found |= {f"vllm:{name}": labels | _TARGET for name, labels in _VLLM.items()}
    for module in _OURS:
        for metric in vars(module).values():
            if isinstance(metric, MetricWrapperBase):
                found |= {name: labels | _TARGET for name, labels in _series(metric)}
    token = "a-token-for-prometheus"
    with running(tmp_path_factory.mktemp("home"), metrics_token=token) as (_, client):
        shown = client.http.get("/metrics", headers={"Authorization": f"Bearer {token}"}).raise_for_status().text
    for family in text_string_to_metric_families(shown):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels, _TARGET)
    return found


def _series(metric: MetricWrapperBase) -> Iterator[tuple[str, set[str]]]:
    (family,) = metric.describe()
    labels = set(metric._labelnames)
    if isinstance(metric, Counter):
        yield f"{family.name}_total", labels
    elif isinstance(metric, Histogram):
        yield f"{family.name}_bucket", labels | {"le"}
        yield from ((f"{family.name}_{part}", labels) for part in ("count", "sum"))
    else:
        yield family.name, labels


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    asked = [target["expr"] for path in DASHBOARDS for panel in panels(path) for target in panel["targets"]]
    return asked + [rule["expr"] for rule in rules()]


def unknown_in(expression: str, known: dict[str, set[str]]) -> list[str]:
    """What an expression asks for that nothing has: names, labels, and values of labels that code chooses from."""
    found: list[str] = []
    labels: set[str] = set()
    for name, matchers in _NAME.findall(expression):
        if name not in known:
            found.append(name)
            continue
        labels |= known[name]
        for label, _, value in _MATCHER.findall(matchers):
            if label not in known[name]:
                found.append(f"{name}{{{label}}}")
            elif label in _VALUES and not name.startswith("leadline_model"):
                found += [f"{label}={each}" for each in value.split("|") if each not in _VALUES[label]]
    grouped = {label.strip() for group in _BY.findall(expression) for label in group.split(",")}
    return found + sorted(grouped - labels)


def test_what_is_asked_for_is_there(known: dict[str, set[str]]) -> None:
    asked = expressions()
    assert len(asked) > 50
    assert {expression: missing for expression in asked if (missing := unknown_in(expression, known))} == {}


@pytest.mark.parametrize(
    "expression",
    [
        "rate(leadline_http_request_total[5m])",
        'sum(leadline_queue_jobs{queue="ingest"})',
        'sum by (tenant) (rate(leadline_jobs_total{outcome="done"}[5m]))',
        'leadline_queue_jobs{kind="digest"}',
        "vllm:no_such_thing > 1",
    ],
)
def test_what_is_not_there_is_found(expression: str, known: dict[str, set[str]]) -> None:
    assert unknown_in(expression, known) != []


def test_every_metric_of_ours_is_on_a_dashboard_or_behind_an_alert(known: dict[str, set[str]]) -> None:
    asked = " ".join(expressions())
    ours = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in known if name.startswith("leadline_")}
    assert [name for name in sorted(ours) if name.removesuffix("_total") not in asked] == []


def test_what_a_legend_names_is_a_label_that_is_left() -> None:
    for path in DASHBOARDS:
        for panel in panels(path):
            for target in panel["targets"]:
                left = {label.strip() for group in _BY.findall(target["expr"]) for label in group.split(",")} | _TARGET
                assert set(_LEGEND.findall(target["legendFormat"])) <= left, panel["title"]


def test_dashboards_lie_in_order() -> None:
    seen: set[str] = set()
    for path in DASHBOARDS:
        dashboard = json.loads(path.read_text())
        assert dashboard["uid"] == path.stem not in seen
        seen.add(path.stem)
        identifiers = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(identifiers)) == len(identifiers)
        places = [tuple(panel["gridPos"][key] for key in "xywh") for panel in dashboard["panels"]]
        assert all(x + w <= 24 for x, _, w, _ in places)
        for n, (x, y, w, h) in enumerate(places):
            assert not any(
                x < x2 + w2 and x2 < x + w and y < y2 + h2 and y2 < y + h for x2, y2, w2, h2 in places[n + 1 :]
            )


def test_each_alert_has_a_runbook_that_says_what_to_do() -> None:
    book = (DEPLOY / "RUNBOOKS.md").read_text()
    entries = dict(re.findall(r"^### (\w+)\n(.*?)(?=^#|\Z)", book, re.MULTILINE | re.DOTALL))
    named = [rule["alert"] for rule in rules()]
    assert len(set(named)) == len(named)
    assert set(entries) == set(named)
    for rule in rules():
        assert rule["annotations"]["runbook_url"] == f"deploy/RUNBOOKS.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert {"**Means:**", "**Look at:**", "**Do:**"} <= set(
            re.findall(r"\*\*[A-Z][a-z ]+:\*\*", entries[rule["alert"]])
        )


def test_what_is_scraped_listens_there() -> None:
    services = composition()["services"]
    jobs = {job["job_name"]: job for job in yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]}
    for name, port in (("leadline-api", API_PORT), ("leadline-workers", WORKER_PORT)):
        (found,) = jobs[name]["dns_sd_configs"]
        assert found["port"] == port
        roles = {"leadline-api": "api", "leadline-workers": "worker"}
        started = {
            each
            for each, service in services.items()
            if "build" in service and service["command"].startswith(f"leadline {roles[name]}")
        }
        assert set(found["names"]) == started
    asked = {job for rule in rules() for job in re.findall(r'job="([\w-]+)"', rule["expr"])}
    assert asked <= jobs.keys()


@pytest.mark.needs_program("promtool")
def test_prometheus_takes_rules_and_configuration(tmp_path: Path) -> None:
    subprocess.run(["promtool", "check", "rules", "--lint=all", "--lint-fatal", FOLDER / "alerts.yaml"], check=True)
    subprocess.run(["promtool", "check", "config", "--syntax-only", FOLDER / "prometheus.yaml"], check=True)


@pytest.mark.needs_program("promtool")
def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    asked = [
        {"record": f"panel:{n}", "expr": each.replace("$__rate_interval", "5m")} for n, each in enumerate(expressions())
    ]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": asked}]}))
    subprocess.run(["promtool", "check", "rules", tmp_path / "panels.yaml"], check=True)


@pytest.mark.needs_program("promtool")
def test_alerts_go_off_on_what_they_are_for_and_keep_still_otherwise() -> None:
    subprocess.run(["promtool", "test", "rules", Path(__file__).with_name("alerts_test.yaml")], check=True)
