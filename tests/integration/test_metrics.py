"""`/metrics` counts what a real service did, and is shown for its token alone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.client import Client
from tests.support.cluster import wait_until
from tests.support.service import running

TOKEN = "a-token-for-prometheus"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("home"), metrics_token=TOKEN) as (_, found):
        yield found


def metrics(client: Client) -> dict[tuple[str, frozenset[str]], float]:
    """Return every sample by its name and the values of its labels."""
    text = client.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).raise_for_status().text
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_jobs_searches_answers_and_requests_are_counted(client: Client) -> None:
    before = metrics(client)
    client.http.post("/v1/documents", params={"name": "a.md"}, content=b"# Whale\n\nIt was white.").raise_for_status()
    embedded = "leadline_jobs_total", frozenset({"embed", "done"})  # counted once its document is ready
    wait_until(lambda: metrics(client).get(embedded, 0.0) > before.get(embedded, 0.0), what="the document is ready")
    for _ in range(2):
        client.post("/v1/search", {"query": "white whale"})
    answer = client.post("/v1/answers", {"question": "What colour was the whale?"})
    after = metrics(client)

    def grown(name: str, *labels: str) -> float:
        return after[name, frozenset(labels)] - before.get((name, frozenset(labels)), 0.0)

    assert grown("leadline_jobs_total", "ingest", "done") == 1
    assert grown("leadline_jobs_total", "embed", "done") == 1
    assert grown("leadline_searches_total", "yes") >= 1
    assert grown("leadline_search_stage_seconds_count", "total") >= 2
    assert grown("leadline_answers_total", answer["strategy"], answer["status"]) == 1
    assert grown("leadline_http_requests_total", "POST", "/v1/search", "200") == 2
    assert after["leadline_queue_jobs", frozenset({"ingest"})] == 0
    assert after["leadline_disk_free_bytes", frozenset()] > 0


def test_no_label_holds_an_id_or_a_tenant(client: Client) -> None:
    document = client.http.post("/v1/documents", params={"name": "b.md"}, content=b"Ice.").json()["id"]
    client.http.get(f"/v1/documents/{document}")
    client.http.get("/no/such/path")
    labels = {label for _, values in metrics(client) for label in values}
    assert "other" in labels
    assert not any(document in label or re.search(r"[0-9a-f]{8}", label) for label in labels)
    assert "default" not in labels


@pytest.mark.parametrize("sent", [None, "a-token", "ll_0_key"])
def test_without_the_token_nothing_is_shown(client: Client, sent: str | None) -> None:
    headers = {} if sent is None else {"Authorization": f"Bearer {sent}"}
    refused = client.http.build_request("GET", "/metrics")
    refused.headers.pop("Authorization", None)
    refused.headers.update(headers)
    assert client.http.send(refused).status_code == 401


def test_a_service_without_a_token_shows_metrics_to_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as (_, client):
        assert client.http.get("/metrics").status_code == 401
