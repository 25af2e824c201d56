"""A node of the vector server is away, then lost: what a cluster says before and after `leadline index repair`.

`pytest -s` prints a table of it. The double claims its nodes; with LEADLINE_TEST_QDRANT they are real ones.
"""

import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from api.build.index_access import open_index_access
from api.cli import doctor, index
from api.cli.environment import read_settings
from tests.support.books import book
from tests.support.cluster import Cluster, running_cluster, wait_until
from tests.support.encoders import cluster_encoders
from tests.support.postgres import Postgres
from tests.support.qdrant_double import QdrantDouble
from tests.support.vector_servers import QdrantCluster, named, program

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TOKEN = "a-token-for-prometheus"
SETTINGS = {
    "LEADLINE_QDRANT_SHARDS": "6",
    "LEADLINE_QDRANT_REPLICAS": "2",
    "LEADLINE_METRICS_TOKEN": TOKEN,
}
NODE = "leadline_index_node_away"
SHARDS, SHORT = "leadline_index_shards", "leadline_index_shards_short"


@pytest.fixture
def cluster(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster with an index of six shards with two copies each on three nodes; commands of this process use it."""
    if named():
        program()
    with running_cluster(tmp_path, postgres.catalog_database(), nodes=3, settings=SETTINGS, task_seconds=60) as made:
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        opened = partial(open_index_access, encoders=cluster_encoders())
        monkeypatch.setattr(index, "open_index_access", opened)
        made.upload(book(1, chapters=3), "a.md")
        wait_until(made.settled, what="the document is ready")
        yield made


class Observer:
    """Asks everything that may say something of copies, and keeps what it said by occasion."""

    def __init__(self, cluster: Cluster) -> None:
        self._url, self._key = cluster.url, {"Authorization": f"Bearer {cluster.key}"}
        self._seen: dict[str, Mapping[str, str]] = {}

    def look(self, when: str) -> Mapping[str, str]:
        self._seen[when] = {
            "search": self._search(),
            "answers": self._answers(),
            "readiness": self._readiness(),
            "`doctor`": doctor_says(),
            "`index show`": index_show_says(),
            "metrics": ", ".join(
                f"{name.removeprefix('leadline_index_')} {value:.0f}" for name, value in self.metrics()
            ),
        }
        return self._seen[when]

    def metrics(self) -> list[tuple[str, float]]:
        """The metrics of shards and nodes."""
        text = httpx.get(f"{self._url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60).text
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith((SHARDS, NODE)))
        return [(name, float(value)) for name, value in lines]

    def short(self) -> float:
        return dict(self.metrics())[SHORT]

    def table(self) -> str:
        """Everything that was said, as a table of Markdown."""
        rows = [["", *self._seen], ["---"] * (1 + len(self._seen))]
        rows += [[name, *(said[name] for said in self._seen.values())] for name in next(iter(self._seen.values()))]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def _search(self) -> str:
        found = httpx.post(f"{self._url}/v1/search", json={"query": "whale"}, headers=self._key, timeout=60)
        body = found.json()
        return f"{found.status_code}, {len(body['hits'])} hits" if found.is_success else f"{found.status_code} {body}"

    def _answers(self) -> str:
        question = {"question": "What is said of whales?"}
        found = httpx.post(f"{self._url}/v1/answers", json=question, headers=self._key, timeout=60)
        return f"{found.status_code} {found.json().get('status', found.json().get('code'))}"

    def _readiness(self) -> str:
        found = httpx.get(f"{self._url}/health/ready", timeout=60)
        return f"{found.status_code}, copies {found.json()['parts']['copies']['state']}"


def doctor_says() -> str:
    """The finding of `leadline doctor` about copies, with a check mark where it asks for nothing."""
    (finding,) = doctor._check_replicas(read_settings())
    return f"✗ {finding.found} {finding.advice}" if finding.advice else f"✓ {finding.found}"


def index_show_says() -> str:
    """What `leadline index show` says of copies."""
    shown = CliRunner().invoke(index.app, ["show"], env={"COLUMNS": "1000"}, catch_exceptions=False).output
    return " ".join(line.strip() for line in shown.splitlines() if "active replicas" in line)


def test_missing_copies_are_reported_everywhere_until_they_are_repaired(cluster: Cluster) -> None:
    server = cluster.qdrant
    assert isinstance(server, QdrantDouble | QdrantCluster)
    observer = Observer(cluster)
    wait_until(lambda: (SHARDS, 6.0) in observer.metrics(), what="upkeep has seen the copies")
    whole = observer.look("two copies of each shard")
    assert whole["readiness"] == "200, copies ready"
    assert whole["`doctor`"] == "✓ generation 1: All 6 shards have 2 active replicas."

    server.take_away(3)
    wait_until(lambda: observer.short() == 4, what="upkeep has seen that a node is away")
    away = observer.look("a node is away")
    server.replace(3)
    wait_until(lambda: (SHORT, 4.0) in observer.metrics() and len(observer.metrics()) == 2, what="the node is back")
    lost = observer.look("its disk is lost, and it is replaced")
    for said in (away, lost):
        assert (said["search"], said["answers"]) == (whole["search"], whole["answers"])
        assert said["readiness"] == "200, copies degraded"
        assert "✗ generation 1: 4 of 6 shards have fewer than 2 active replicas." in said["`doctor`"]
        assert "Generation 1: 4 of 6 shards have fewer than 2 active replicas." in said["`index show`"]
    assert all("does not respond" in away[place] for place in ("`doctor`", "`index show`"))
    assert f'{NODE.removeprefix("leadline_index_")}{{node="http://' in away["metrics"]
    assert "Run `leadline index repair`." in lost["`doctor`"]

    repaired = CliRunner().invoke(index.app, ["repair"], input="y\n", catch_exceptions=False)
    assert (repaired.exit_code, "Create 4 replicas now?" in repaired.output) == (0, True)
    assert observer.look("after `leadline index repair`") == whole
    sys.stdout.write(f"\n{observer.table()}\n")
