"""Documents that resemble each other, in a service and in a cluster: with cards, and with those of earlier releases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete

from api.cli.doctor import _check_installation
from api.settings.settings import Settings
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.db.schema import cards as card_table
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.records import VersionState
from retrieval.build import build_sparse_encoder
from retrieval.search.cards import get_card_maker
from tests.support.cluster import running_cluster, wait_until
from tests.support.postgres import Postgres, disposed
from tests.support.service import running

COMPANIES = ("Acme", "Borealis", "Cedar", "Dunlin", "Egret")
SEGMENTS = ("boats", "cranes", "docks", "engines", "ferries", "gears")
QUERY = "By how much did revenue of Dunlin grow in boats and docks?"
MAKER = get_card_maker(build_sparse_encoder())


def build_report(company: str) -> str:
    """Build a report that differs from others in its first section alone."""
    said = "\n\n".join(
        f"## Revenue\n\n{f'Revenue of the segment {each} grew by nine percent. ' * 12}" for each in SEGMENTS
    )
    return f"# Annual report\n\nThis is the annual report of {company}.\n\n{said}\n"


def upload_reports(upload: Callable[[str, str], str]) -> dict[str, str]:
    return {company: upload(build_report(company), f"scan{n}.md") for n, company in enumerate(COMPANIES)}


def count_lacking(engine: Engine) -> int:
    return Cards(engine).count_lacking(MAKER)


def forget_cards(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(delete(card_table))


def require_lifted(hits: list[dict[str, Any]], document: str) -> None:
    assert [hit["document"] for hit in hits[:2]] == [document] * 2
    assert hits[0]["why"]["document"] == {"rank": 1, "score": 1.0}


def test_the_document_that_a_query_names_comes_first_and_so_it_is_once_earlier_documents_have_cards(
    tmp_path: Path,
) -> None:
    def upload(text: str, name: str) -> str:
        found: str = client.http.post("/v1/documents", params={"name": name}, content=text.encode()).json()["id"]
        return found

    def search() -> dict[str, Any]:
        found: dict[str, Any] = client.post("/v1/search", {"query": QUERY, "top_k": 20})
        return found

    def score(document: str) -> float:
        hit = next(each for each in search()["hits"] if each["document"] == document)
        return float(hit["why"]["document"]["score"])

    def rename(document: str, title: str) -> None:
        path, match = f"/v1/documents/{document}", {"If-Match": "*"}
        assert client.http.patch(path, json={"title": title}, headers=match).status_code == 200

    with running(tmp_path) as (_, client):
        documents = upload_reports(upload)
        wait_until(lambda: client.get("/v1/status")["documents"] == {"ready": 5}, what="all are ready")
        lifted = search()
        require_lifted(lifted["hits"], documents["Dunlin"])
        assert lifted["timings_ms"]["documents"] >= 0
        before = score(documents["Egret"])
        rename(documents["Egret"], "Dunlin, a copy")
        assert score(documents["Egret"]) > before
        rename(documents["Egret"], "Annual report")
        assert score(documents["Egret"]) == before
    with disposed(open_database(build_sqlite_url(tmp_path / "catalog.sqlite"))) as engine:
        forget_cards(engine)
        found = {each.what: each.found for each in _check_installation(Settings(home=tmp_path, models=tmp_path))}
        assert found["cards"] == "5 documents have none yet; the running service adds them"
        with running(tmp_path) as (_, client):
            hits = search()["hits"]
            assert not any("document" in hit["why"] for hit in hits)
            assert {hit["document"] for hit in hits[:2]} != {documents["Dunlin"]}
        with running(tmp_path, task_seconds=3) as (_, client):
            wait_until(lambda: count_lacking(engine) == 0, what="all have cards")
            require_lifted(search()["hits"], documents["Dunlin"])
        assert "cards" not in {each.what for each in _check_installation(Settings(home=tmp_path, models=tmp_path))}


@pytest.mark.slow
def test_workers_of_a_cluster_make_the_cards_of_earlier_documents(tmp_path: Path, postgres: Postgres) -> None:
    with running_cluster(tmp_path, postgres.catalog_database()) as cluster:
        documents = upload_reports(cluster.upload)
        for each in documents.values():
            wait_until(
                lambda each=each: cluster.catalog.load_document("default", each).version.state is VersionState.READY,  # type: ignore[misc]
                what="every document is ready",
            )
        assert count_lacking(cluster.engine) == 0
        forget_cards(cluster.engine)
        assert count_lacking(cluster.engine) == 5
        cluster.workers[0].restart()  # it looks at its start, and then every hour
        wait_until(lambda: count_lacking(cluster.engine) == 0, what="all have cards")
        answer = cluster.request("POST", "/v1/search", json={"query": QUERY})
        require_lifted(answer.json()["hits"], documents["Dunlin"])
