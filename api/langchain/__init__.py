"""LangChain access to a running Leadline service: a retriever, a tool for models that call tools, and a chat model.

All are clients of the REST API, so the service's own rules of who may see what apply. Importing this package imports
LangChain; nothing else of Leadline imports it.
"""

from api.langchain.chat import ChatLeadline
from api.langchain.retriever import LeadlineRetriever, search_tool

__all__ = ["ChatLeadline", "LeadlineRetriever", "search_tool"]
