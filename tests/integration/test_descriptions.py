"""A model fills in the cards of documents in a whole service, where a collection asks for it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.admission.services import DEFAULT_TENANT
from api.build.language_model import RemoteLanguageModel
from api.cli.doctor import _check_installation
from api.cli.main import app
from api.settings.settings import Settings
from ingest.storage.documents.cards.records import CardLayer, DocumentCard
from ingest.storage.documents.cards.store import Cards
from ingest.storage.documents.records import VersionState
from ingest.storage.quotas.records import Account, parse_quotas
from ingest.storage.quotas.store import Quotas
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.cluster import running_cluster, wait_until
from tests.support.postgres import Postgres
from tests.support.scripted_openai import scripted_openai
from tests.support.service import running

PROFILE = ModelProfile("scripted", 32_000, 4_000)
TEXT = "# Minutes of the board\n\nAcme and Borealis met on 3 May 2023.\n"
FOUND = {
    "title": "Minutes of the board",
    "kind": "board minutes",
    "subjects": ["Acme", "Borealis", "Cedar"],
    "periods": [],
    "dates": ["2023-05-03"],
    "version": "",
    "language": "en",
}


def reply(request: dict[str, Any]) -> str:
    assert "BEGIN document" in request["messages"][-1]["content"]
    return json.dumps(FOUND)


def test_a_collection_that_asks_for_it_is_described_after_a_restart_and_the_other_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path))
    monkeypatch.setenv("LEADLINE_DESCRIBE", "open")
    with running(tmp_path) as (services, client):
        for name in ("plain", "board"):
            params = {"name": "a.md", "collection": name}
            client.http.post("/v1/documents", params=params, content=TEXT.encode()).raise_for_status()
        wait_until(lambda: client.get("/v1/status")["documents"] == {"ready": 2}, what="all are ready")
        assert client.get("/v1/collections/board")["describe"] is False
        changed = client.http.patch("/v1/collections/board", json={"describe": True}, headers={"If-Match": "*"})
        assert changed.json()["describe"] is True
        documents = {each["collection"]: each["id"] for each in client.get("/v1/documents")["documents"]}
    found = {each.what: each.found for each in _check_installation(Settings())}
    assert found["descriptions"] == "1 document waiting"

    def load_card(name: str) -> DocumentCard:
        cards = services.stores.contents.cards.load_document_cards(DEFAULT_TENANT, [documents[name]])
        return cards[documents[name]]

    with scripted_openai(reply, window_tokens=32_000) as server:
        model = ChatModel(build_remote_chat_model(server.url, PROFILE), PROFILE)
        with running(tmp_path, describe="open", language_model=RemoteLanguageModel(server.url, model)) as (
            services,
            client,
        ):
            wait_until(lambda: bool(load_card("board").layers[CardLayer.MODEL].kind), what="it is described")
            card = load_card("board")
            assert (card.fields.kind, card.fields.subjects) == ("board minutes", ("Acme", "Borealis"))
            assert load_card("plain").layers[CardLayer.MODEL].kind is None
            assert len(server.requests) == 1
            day = services.stores.usage.quotas.list_usage(DEFAULT_TENANT, skip=0, limit=1)[0]
            assert day.prompt_tokens > 0
            assert CliRunner().invoke(app, ["collections", "describe", "board", "--off"]).exit_code == 0
            assert client.get("/v1/collections/board")["describe"] is False


@pytest.mark.slow
def test_workers_of_a_cluster_describe_documents_with_the_default_quotas_of_the_settings(
    tmp_path: Path, postgres: Postgres
) -> None:
    def is_described() -> bool:
        cards = Cards(cluster.engine).load_document_cards(DEFAULT_TENANT, [document])
        return cards[document].layers[CardLayer.MODEL].kind == "board minutes"

    settings = {"LEADLINE_DESCRIBE": "open", "LEADLINE_TENANT_QUOTAS": "tokens_per_day=9000"}
    with (
        scripted_openai(reply, window_tokens=32_000) as server,
        running_cluster(
            # A worker that is killed keeps its claim for ten minutes, so no slow start may reach the limit of a task.
            tmp_path,
            postgres.catalog_database(),
            llm=f"{server.url} scripted",
            task_seconds=120.0,
            settings=settings,
        ) as cluster,
    ):
        document = cluster.upload(TEXT, "a.md")
        wait_until(
            lambda: cluster.catalog.load_document(DEFAULT_TENANT, document).version.state is VersionState.READY,
            what="the document is ready",
        )
        cluster.request("PATCH", "/v1/collections/default", json={"describe": True}, headers={"If-Match": "*"})
        cluster.workers[0].restart()  # it looks at its start, and then every minute
        wait_until(is_described, what="it is described")
        (status,) = Quotas(
            cluster.engine, tenant_defaults=parse_quotas(settings["LEADLINE_TENANT_QUOTAS"])
        ).load_statuses(Account(DEFAULT_TENANT))
        assert 0 < status.used < 9_000
        assert status.reserved == 0
