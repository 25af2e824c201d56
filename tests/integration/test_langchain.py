"""The LangChain retriever and tool against a running service; LangChain's own standard tests among them."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import RetrieversIntegrationTests, ToolsIntegrationTests

from api.cli.client import Client
from retrieval.errors import SearchServiceError
from retrieval.langchain import LeadlineRetriever, search_tool
from tests.support.pdf_files import pdf
from tests.support.service import listening, running

TEXTS = {f"whale{number}.md": f"# Whale {number}\n\nThe white whale number {number} swims.\n" for number in range(4)}


class Service:
    """Where a running service listens, and a client of it."""

    def __init__(self, url: str, key: str, client: Client) -> None:
        self.url, self.key, self.client = url, key, client

    def retriever(self, **more: Any) -> LeadlineRetriever:  # noqa: ANN401 - of the retriever
        return LeadlineRetriever(url=self.url, api_key=self.key, **more)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("home")) as (services, client), listening(services) as (url, key):
        described = {"metadata": (None, json.dumps({"year": 1851}).encode())}
        for name, text in TEXTS.items():
            client.http.post("/v1/documents", files={**described, "files": (name, text.encode())})
        client.http.post("/v1/documents", files={"files": ("bones.pdf", pdf([["A whale has many bones."]]))})
        deadline = time.monotonic() + 60
        while client.get("/v1/status")["documents"].get("ready") != len(TEXTS) + 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield Service(url, key, client)


def test_documents_carry_where_they_stand(service: Service) -> None:
    (found,) = service.retriever(k=1).invoke("many bones")
    at = found.metadata
    text = service.client.http.get(f"/v1/documents/{at['document_id']}/content").text
    assert found.page_content == text[at["start"] : at["end"]]
    assert (at["page"], at["place"], at["rank"], at["collection"]) == (1, "page 1", 1, "default")
    assert at["source"] == f"bones.pdf, page 1, characters {at['start']} to {at['end']}"
    assert at["version_id"] == service.client.get(f"/v1/documents/{at['document_id']}")["version"]
    assert at["score"] > 0
    assert found.id


def test_everything_that_a_search_may_ask_for_can_be_asked(service: Service) -> None:
    retriever = service.retriever(search_kwargs={"mode": "bm25", "filters": {"year": 1851}})
    assert len(retriever.invoke("whale")) == 4
    assert len(retriever.invoke("whale", k=2)) == 2
    assert [found.metadata["title"] for found in retriever.invoke("whale", filters={})].count("bones.pdf") == 1


def test_asking_side_by_side_and_in_several_event_loops(service: Service) -> None:
    retriever = service.retriever(k=1)

    async def both() -> list[list[Document]]:
        return list(await asyncio.gather(*(retriever.ainvoke(f"whale number {n}") for n in (1, 2))))

    for _ in range(2):
        assert [found[0].metadata["title"] for found in asyncio.run(both())] == ["Whale 1", "Whale 2"]


def test_address_and_key_are_taken_from_the_environment(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_URL", service.url)
    monkeypatch.setenv("LEADLINE_API_KEY", service.key)
    assert LeadlineRetriever(k=1).invoke("whale")
    assert service.key not in repr(LeadlineRetriever())


def test_clients_of_ones_own_are_used(service: Service) -> None:
    retriever = LeadlineRetriever(http_client=service.client.http, k=1)
    assert retriever.invoke("whale")

    async def ask() -> list[Document]:
        async with httpx.AsyncClient(base_url=service.url) as client:
            own = LeadlineRetriever(http_async_client=client, api_key=service.key, k=1)
            return [*await own.ainvoke("whale"), *await own.ainvoke("bones")]

    assert len(asyncio.run(ask())) == 2


@pytest.mark.parametrize(
    ("more", "problem", "said"),
    [
        ({"search_kwargs": {"mode": "luck"}}, "invalid_request", "mode"),
        ({"api_key": "ll_wrong"}, "unauthorized", "leadline keys create"),
        ({"url": "http://127.0.0.1:1"}, "", "leadline up"),
    ],
)
def test_what_goes_wrong_is_said_in_the_services_words(
    service: Service, more: dict[str, Any], problem: str, said: str
) -> None:
    retriever = LeadlineRetriever(**{"url": service.url, "api_key": service.key, **more})
    with pytest.raises(SearchServiceError, match=said) as caught:
        retriever.invoke("whale")
    assert caught.value.problem == problem
    with pytest.raises(SearchServiceError, match=said):
        asyncio.run(retriever.ainvoke("whale"))


def test_a_server_that_is_no_leadline_is_not_taken_for_one() -> None:
    page = httpx.MockTransport(lambda _: httpx.Response(502, text="<html>Bad gateway</html>"))
    with httpx.Client(base_url="http://x", transport=page) as client, pytest.raises(SearchServiceError, match="502"):
        LeadlineRetriever(http_client=client).invoke("whale")


def test_a_tool_gives_a_model_text_with_sources_and_keeps_the_documents(service: Service) -> None:
    tool = search_tool(service.retriever(k=2))
    call = {"name": tool.name, "args": {"query": "many bones"}, "id": "1", "type": "tool_call"}
    message = tool.invoke(call)
    assert isinstance(message, ToolMessage)
    assert str(message.content).startswith("[bones.pdf, page 1, characters ")
    assert "A whale has many bones." in str(message.content)
    assert message.artifact[0].metadata["title"] == "bones.pdf"


def test_braces_in_a_document_are_only_text(service: Service) -> None:
    text = "Curly {page_content} {0.__class__} {{7*7}} braces."
    document = service.client.http.post("/v1/documents", files={"files": ("curly.txt", text.encode())}).json()["id"]
    for _ in service.client.follow(f"/v1/documents/{document}/events"):
        pass
    assert text in search_tool(service.retriever(k=1)).invoke({"query": "curly braces"})
    service.client.delete(f"/v1/documents/{document}")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
class TestStandardRetriever(RetrieversIntegrationTests):
    """What LangChain expects of every retriever."""

    service: Service

    @pytest.fixture(autouse=True)
    def _at(self, service: Service) -> None:
        self.service = service

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return LeadlineRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"url": self.service.url, "api_key": self.service.key}

    @property
    def retriever_query_example(self) -> str:
        return "white whale"


@pytest.mark.anyio
class TestStandardTool(ToolsIntegrationTests):
    """What LangChain expects of every tool."""

    service: Service

    @pytest.fixture(autouse=True)
    def _at(self, service: Service) -> None:
        self.service = service

    @property
    def tool_constructor(self) -> BaseTool:
        return search_tool(self.service.retriever())

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"query": "white whale"}
