"""LangChain access to a running Leadline service: a retriever, and a tool for models that call tools.

Both send `POST /v1/search`, so they offer everything that a search offers, and the service's own rules of who may see
what apply. Each passage carries its location, for citations.
"""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.prompts import PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, create_retriever_tool
from pydantic import ConfigDict, Field, SecretStr

from retrieval.errors import SearchServiceError

_SEARCH = "/v1/search"
_PASSAGE = PromptTemplate.from_template("[{source}]\n{page_content}")
_DESCRIPTION = (
    "Searches the documents for passages about a query, by words and by meaning. Each passage comes with the title of "
    "its document and, if its file has pages, slides or sheets, its place there."
)


def _own_key() -> SecretStr | None:
    key = os.environ.get("LEADLINE_API_KEY")
    return SecretStr(key) if key else None


class LeadlineRetriever(BaseRetriever):
    """Passages of a Leadline service as LangChain documents, best first.

    `url` and `api_key` default to `LEADLINE_URL` and `LEADLINE_API_KEY`. `k` is the number of passages; `search_kwargs`
    are further members of a search's body, such as `{"mode": "bm25", "filters": {…}}`. `invoke` also takes `k` and
    those members, for one search.

    A document's `id` is the passage's chunk, and its `metadata` gives the location: `document_id`, `version_id`,
    `start` and `end` (code points of the document's text), `page` and `place` (`page 12`,
    `sheet Costs, row 4`), `table_header` (of the table in whose rows it begins), `title`, `heading_path`, `collection`,
    `rank`, `score`, and `source`, the location in words. Raises `SearchServiceError`.

    Each search opens a connection of its own, unless `http_client` or `http_async_client` is given: a client that knows
    the service's address, and is closed by its owner.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, ignored_types=(cached_property,))

    url: str = Field(default_factory=lambda: os.environ.get("LEADLINE_URL") or "http://127.0.0.1:8000")
    api_key: SecretStr | None = Field(default_factory=_own_key)
    k: int = Field(10, ge=1)
    search_kwargs: dict[str, Any] = Field(default_factory=dict)
    timeout_seconds: float = Field(30.0, gt=0)
    http_client: httpx.Client | None = Field(None, exclude=True, repr=False)
    http_async_client: httpx.AsyncClient | None = Field(None, exclude=True, repr=False)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        **kwargs: Any,  # noqa: ANN401 - members of a search's body
    ) -> list[Document]:
        client = self.http_client or httpx.Client(**self._options())
        try:
            with self._failures():
                response = client.post(_SEARCH, json=self._body(query, kwargs), headers=self._headers())
        finally:
            if client is not self.http_client:
                client.close()
        return _documents(response)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        **kwargs: Any,  # noqa: ANN401 - members of a search's body
    ) -> list[Document]:
        client = self.http_async_client or httpx.AsyncClient(**self._options())
        try:
            with self._failures():
                response = await client.post(_SEARCH, json=self._body(query, kwargs), headers=self._headers())
        finally:
            if client is not self.http_async_client:
                await client.aclose()
        return _documents(response)

    def _body(self, query: str, given: Mapping[str, Any]) -> dict[str, Any]:
        members = {**self.search_kwargs, **given}
        return {"query": query, "top_k": members.pop("k", self.k), **members}

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_key.get_secret_value()}"} if self.api_key else {}

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Create the TLS context once, because reading the certificates takes longer than a search."""
        return httpx.create_ssl_context()

    def _options(self) -> dict[str, Any]:
        return {"base_url": self.url, "timeout": self.timeout_seconds, "verify": self._tls}

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise SearchServiceError(
                f"The service at {self.url} did not answer: {error!r}.",
                hint="Is it running, and is LEADLINE_URL its address? `leadline up` starts one.",
            ) from error


def search_tool(
    retriever: LeadlineRetriever, *, name: str = "search_documents", description: str = _DESCRIPTION
) -> BaseTool:
    """Return a tool that searches with a retriever: text with sources for the model, documents as the artifact."""
    return create_retriever_tool(
        retriever, name, description, document_prompt=_PASSAGE, response_format="content_and_artifact"
    )


def _documents(response: httpx.Response) -> list[Document]:
    if response.is_success:
        return [_document(hit) for hit in response.json()["hits"]]
    try:
        problem = response.json()
        raise SearchServiceError(str(problem["detail"]), hint=str(problem.get("hint", "")), problem=problem["code"])
    except (ValueError, KeyError, TypeError) as error:
        raise SearchServiceError(f"The service answered {response.status_code}.") from error


def _document(hit: Mapping[str, Any]) -> Document:
    place = f", {hit['place']}" if hit["place"] else ""
    where = {
        "source": f"{hit['title']}{place}, characters {hit['start']} to {hit['end']}",
        "document_id": hit["document"],
        "version_id": hit["version"],
        **{
            name: hit[name]
            for name in (
                "start",
                "end",
                "page",
                "place",
                "table_header",
                "title",
                "heading_path",
                "collection",
                "rank",
                "score",
            )
        },
    }
    return Document(page_content=hit["text"], id=hit["chunk"], metadata=where)
