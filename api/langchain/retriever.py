"""A retriever of passages, and a search tool built from it. Both use `POST /v1/search`."""

from collections.abc import Mapping
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.prompts import PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, create_retriever_tool
from pydantic import Field

from api.langchain.connection import Connection
from api.search.schemas import HitOut, SearchOut

_PASSAGE = PromptTemplate.from_template("[{source}]\n{page_content}")
_DESCRIPTION = (
    "Searches the documents for passages about a query, by words and by meaning. Each passage comes with the title of "
    "its document and, if its file has pages, slides or sheets, its place there."
)
_LOCATION_FIELDS = {
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
}


class LeadlineRetriever(Connection, BaseRetriever):
    """A retriever that returns passages from a Leadline service as LangChain documents, best first.

    A document's `id` is the id of the passage's chunk. Its `metadata` contains `document_id`, `version_id`, `start` and
    `end` (in code points of the document's text), `page`, `place` (such as `page 12` or `sheet Costs, row 4`),
    `table_header` (the header of the table in whose rows the passage begins), `title`, `heading_path`, `collection`,
    `rank`, `score`, and `source` (a description of the location).

    Attributes:
        url: The service's address. Defaults to `LEADLINE_URL`.
        api_key: The API key. Defaults to `LEADLINE_API_KEY`.
        timeout_seconds: The timeout of each request.
        max_retries: The maximum number of times to retry a request.
        k: The number of passages to return. `invoke` accepts it too.
        search_kwargs: Additional fields of the search, such as `{"mode": "bm25", "filters": {…}}`. `invoke` accepts
            them too.
        http_client: An `httpx.Client` to use, which you close yourself.
        http_async_client: An `httpx.AsyncClient` to use, which you close yourself.

    Raises:
        leadline.ServiceError: If the service rejects the search or fails.

    Example:
        retriever = LeadlineRetriever(url="https://leadline.example.org", k=3)
        passages = retriever.invoke("Which house does Mr. Bingley rent?")
    """

    k: int = Field(10, ge=1)
    search_kwargs: dict[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        **kwargs: Any,  # noqa: ANN401 - members of a search's body
    ) -> list[Document]:
        with self.client() as client:
            return _build_documents(client.search(query, **self._build_search_fields(kwargs)))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        **kwargs: Any,  # noqa: ANN401 - members of a search's body
    ) -> list[Document]:
        async with self.async_client() as client:
            return _build_documents(await client.search(query, **self._build_search_fields(kwargs)))

    def _build_search_fields(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        members = {**self.search_kwargs, **overrides}
        return {"top_k": members.pop("k", self.k), **members}


def search_tool(
    retriever: LeadlineRetriever, *, name: str = "search_documents", description: str = _DESCRIPTION
) -> BaseTool:
    """Build a search tool from a retriever, for tool-calling models.

    Args:
        retriever: The retriever to search with.
        name: The tool's name, as the model sees it.
        description: The tool's description, as the model sees it.

    Returns:
        A tool whose content is the passages with their sources, and whose artifact is the list of documents.

    Example:
        tool = search_tool(LeadlineRetriever(k=5))
        model = model.bind_tools([tool])
    """
    return create_retriever_tool(
        retriever, name, description, document_prompt=_PASSAGE, response_format="content_and_artifact"
    )


def _build_documents(response: SearchOut) -> list[Document]:
    return [
        Document(page_content=hit.text, id=hit.chunk, metadata=_build_document_metadata(hit)) for hit in response.hits
    ]


def _build_document_metadata(hit: HitOut) -> dict[str, Any]:
    place = f", {hit.place}" if hit.place else ""
    return {
        "source": f"{hit.title}{place}, characters {hit.start} to {hit.end}",
        "document_id": hit.document,
        "version_id": hit.version,
        **hit.model_dump(include=_LOCATION_FIELDS),
    }
