"""A retriever, and a tool made from it: passages of `POST /v1/search`, each with its location, for citations."""

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
    """Passages of a Leadline service as LangChain documents, best first.

        retriever = LeadlineRetriever(url="https://leadline.example.org", k=3)
        passages = retriever.invoke("Which house does Mr. Bingley rent?")

    `url` and `api_key` default to `LEADLINE_URL` and `LEADLINE_API_KEY`. `k` is the number of passages; `search_kwargs`
    are further members of a search's body, such as `{"mode": "bm25", "filters": {…}}`. `invoke` also takes `k` and
    those members, for one search.

    A document's `id` is the passage's chunk, and its `metadata` gives the location: `document_id`, `version_id`,
    `start` and `end` (code points of the document's text), `page` and `place` (`page 12`,
    `sheet Costs, row 4`), `table_header` (of the table in whose rows it begins), `title`, `heading_path`, `collection`,
    `rank`, `score`, and `source`, the location in words. Raises `leadline.ServiceError`.
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
            return _to_documents(client.search(query, **self._build_members(kwargs)))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        **kwargs: Any,  # noqa: ANN401 - members of a search's body
    ) -> list[Document]:
        async with self.async_client() as client:
            return _to_documents(await client.search(query, **self._build_members(kwargs)))

    def _build_members(self, given: Mapping[str, Any]) -> dict[str, Any]:
        members = {**self.search_kwargs, **given}
        return {"top_k": members.pop("k", self.k), **members}


def search_tool(
    retriever: LeadlineRetriever, *, name: str = "search_documents", description: str = _DESCRIPTION
) -> BaseTool:
    """Return a tool that searches with a retriever: text with sources for the model, documents as the artifact."""
    return create_retriever_tool(
        retriever, name, description, document_prompt=_PASSAGE, response_format="content_and_artifact"
    )


def _to_documents(found: SearchOut) -> list[Document]:
    return [Document(page_content=hit.text, id=hit.chunk, metadata=_build_metadata(hit)) for hit in found.hits]


def _build_metadata(hit: HitOut) -> dict[str, Any]:
    place = f", {hit.place}" if hit.place else ""
    return {
        "source": f"{hit.title}{place}, characters {hit.start} to {hit.end}",
        "document_id": hit.document,
        "version_id": hit.version,
        **hit.model_dump(include=_LOCATION_FIELDS),
    }
