"""LangChain components for a Leadline service: a retriever, a search tool, and a chat model.

All components are clients of the REST API, so the service's access rules apply.
"""

from api.langchain.chat import ChatLeadline
from api.langchain.retriever import LeadlineRetriever, search_tool

__all__ = ["ChatLeadline", "LeadlineRetriever", "search_tool"]
