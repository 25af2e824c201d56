"""Completes the blanks of prompts and the variables of URIs: collections, documents, pages and sections."""

from collections.abc import Callable, Iterable, Mapping

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CompleteRequestParams, CompleteResult, Completion, PromptReference

from api.admission.services import Services
from api.documents.content_routes import require_active_version_id
from api.documents.content_schemas import OutlineEntryOut, build_outline
from api.mcp.prompts import PROMPTS
from api.mcp.uris import find_kind
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import Document, ListOrder
from ingest.storage.texts.normalize import remove_invisible_characters

# The protocol allows at most 100 values in one result.
_MAX_VALUES = 100

# Lists the values that start with, or contain, what the user typed. The mapping has the blanks that are filled in.
Complete = Callable[[Services, Principal, str, Mapping[str, str]], Iterable[str]]


def complete_argument(services: Services, caller: Principal, params: CompleteRequestParams) -> CompleteResult:
    """Return values for an argument. There are none for free text. Raises `MCPError` for an unknown argument."""
    complete = _find_completer(params)
    known = (params.context and params.context.arguments) or {}
    values: list[str] = []
    if complete is not None:
        found = complete(services, caller, params.argument.value, known)
        values = list(dict.fromkeys(remove_invisible_characters(each) for each in found))
    return CompleteResult(completion=Completion(values=values[:_MAX_VALUES], has_more=len(values) > _MAX_VALUES))


def _find_completer(params: CompleteRequestParams) -> Complete | None:
    name = params.argument.name
    if isinstance(params.ref, PromptReference):
        wanted = params.ref.name
        prompt = next((each for each in PROMPTS if each.name == wanted), None)
        names, completers = (list(prompt.takes.model_fields) if prompt else None), _BLANKS
    else:
        wanted = params.ref.uri
        kind = find_kind(wanted)
        names, completers = (kind.parsed.variable_names if kind else None), _VARIABLES
    if names is None:
        raise MCPError(
            INVALID_PARAMS,
            f"{wanted[:100]!r} not found. `prompts/list` and `resources/templates/list` list prompts and templates.",
        )
    if name not in names:
        raise MCPError(INVALID_PARAMS, f"{wanted[:100]!r} has no argument {name[:100]!r}. It has: {', '.join(names)}.")
    return completers.get(name)


def _complete_collection(services: Services, caller: Principal, value: str, _: Mapping[str, str]) -> Iterable[str]:
    for each in services.accounts.grants.list_collections(caller.tenant_id):
        if caller.collections.can_read(each.name) and value.casefold() in f"{each.name} {each.title or ''}".casefold():
            yield each.name


def _complete_document_name(services: Services, caller: Principal, value: str, _: Mapping[str, str]) -> Iterable[str]:
    return (each.title or each.name for each in _list_named_documents(services, caller, value))


def _complete_document_id(services: Services, caller: Principal, value: str, _: Mapping[str, str]) -> Iterable[str]:
    return (each.id for each in _list_named_documents(services, caller, value))


def _list_named_documents(services: Services, caller: Principal, value: str) -> list[Document]:
    found = services.documents.catalog.listing.list_page(
        caller.tenant_id,
        DocumentFilter(named=value[:200]),
        caller.readers,
        order=ListOrder.NEWEST,
        limit=_MAX_VALUES + 1,
    )
    return [document for document, _ in found]


def _complete_page(services: Services, caller: Principal, value: str, known: Mapping[str, str]) -> Iterable[str]:
    for each in _list_parts(services, caller, known):
        if each.kind not in ("heading", "table") and str(each.page).startswith(value):
            yield str(each.page)


def _complete_section(services: Services, caller: Principal, value: str, known: Mapping[str, str]) -> Iterable[str]:
    for each in _list_parts(services, caller, known):
        if each.kind == "heading" and value.casefold() in each.title.casefold():
            yield each.title


def _list_parts(services: Services, caller: Principal, known: Mapping[str, str]) -> list[OutlineEntryOut]:
    """Return the outline of the document that the URI names so far, or nothing if it names none yet."""
    if not (document := known.get("document")):
        return []
    version = require_active_version_id(services, caller, document, None)
    text = services.contents.texts.load_map(version)
    return build_outline(text.layout, text.characters, ())


_BLANKS: Mapping[str, Complete] = {
    "collection": _complete_collection,
    "document": _complete_document_name,
    "first": _complete_document_name,
    "second": _complete_document_name,
}
_VARIABLES: Mapping[str, Complete] = {
    "document": _complete_document_id,
    "page": _complete_page,
    "pages": _complete_page,
    "section": _complete_section,
}
