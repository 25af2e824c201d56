"""Lists and calls tools for the caller of a request, using the MCP SDK's server.

Results are structured according to the tool's output schema, and the same JSON is also included as text. Errors are
returned as results, too, with a hint that tells the model what to do next, so that it can correct itself.
"""

import json
import re
from collections.abc import Mapping
from importlib.metadata import version

import structlog
from mcp.server.caching import CacheHint
from mcp.server.lowlevel.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    InputRequiredResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
)
from pydantic import ValidationError

from api.admission.access import build_missing_scope_error
from api.admission.services import Services
from api.http.middleware import CALLER
from api.http.problems import build_problem, format_invalid_fields, list_invalid_fields
from api.mcp.asking import Context
from api.mcp.places import Capacity
from api.mcp.tools import INSTRUCTIONS, TOOLS, Tool
from ingest.storage.accounts.records import Principal
from ingest.storage.errors import (
    CollectionNotFoundError,
    ConversationNotFoundError,
    DocumentNotFoundError,
    LeadlineError,
    RunNotFoundError,
)

log = structlog.get_logger(__name__)

_NAME = "leadline"
_TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in TOOLS}
_HINTS: Mapping[type, str] = {
    DocumentNotFoundError: "Call `list` to list the documents.",
    CollectionNotFoundError: "Call `list` to list the collections.",
    RunNotFoundError: "Call `run` with an id returned by `ask`.",
    ConversationNotFoundError: "Call `ask` with `conversation` set to `new` to start one; the answer has its id.",
}
_SENTENCE = re.compile(r"(?<=[.;])\s+")
_ROUTE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/v1/|…)")


class Tools:
    """The tools, which all use the same services."""

    def __init__(self, services: Services, capacity: Capacity) -> None:
        self._services = services
        self._capacity = capacity

    async def list_tools(self, context: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        """List the tools that the caller's scopes allow."""
        caller = _require_caller(context)
        return ListToolsResult(tools=[tool.definition for tool in TOOLS if tool.scope in caller.scopes])

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        """Call a tool. Errors are returned as results, except an unknown tool, which is an error of the protocol."""
        tool = _TOOLS.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, f"Tool {params.name[:100]!r} not found. `tools/list` lists the tools.")
        try:
            caller = _require_caller(context)
            # guard: mcp-tool-scopes
            if tool.scope not in caller.scopes:
                raise build_missing_scope_error(tool.scope)
            arguments = tool.takes.model_validate(params.arguments or {})
            result = await tool.work(self._services, caller, arguments, context, self._capacity)
        except ValidationError as error:
            return _build_error_result(
                f"{format_invalid_fields(list_invalid_fields(error.errors()))} Correct the named arguments."
            )
        except LeadlineError as error:
            body = build_problem(error)
            parts = body["detail"] or body["title"], _select_hint(error, body["hint"]), f"({body['code']})"
            return _build_error_result(" ".join(part for part in parts if part))
        # This is the outermost handler of a tool call. An unexpected error is logged in full, and the model gets a
        # result.
        except Exception:
            log.exception("tool failed", tool=params.name[:100])
            return _build_error_result("This call failed with an internal error. Try something else, and report it.")
        content = result.model_dump(mode="json")
        written = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace").decode()
        return CallToolResult(content=[TextContent(type="text", text=written)], structured_content=content)


def build_server(services: Services, capacity: Capacity) -> Server[dict[str, object]]:
    """Build the MCP server. With `LEADLINE_MCP_STATE_KEYS`, replicas can continue exchanges begun by others."""
    tools, keys = Tools(services, capacity), services.settings.mcp_state_keys
    server: Server[dict[str, object]] = Server(
        _NAME,
        title="Leadline",
        version=version(_NAME),
        instructions=" ".join(INSTRUCTIONS.split()),
        # The cached list must not be shared between clients, because it depends on the key's scopes.
        cache_hints={"tools/list": CacheHint(ttl_ms=60_000, scope="private")},
        get_tool_input_schema=lambda name: _TOOLS[name].definition.input_schema if name in _TOOLS else None,
        on_list_tools=tools.list_tools,
        on_call_tool=tools.call_tool,
    )
    security = (
        RequestStateSecurity.ephemeral()
        if keys is None
        else RequestStateSecurity(keys=keys.get_secret_value().split(","))
    )
    server.middleware.append(RequestStateBoundary(security, default_audience=_NAME))
    return server


def _require_caller(context: Context) -> Principal:
    if context.request is None or CALLER not in context.request.scope:
        raise RuntimeError("a tool was called without an authenticated caller")
    caller: Principal = context.request.scope[CALLER]
    return caller


def _select_hint(error: LeadlineError, hint: str) -> str:
    """Return a hint for the model. Sentences with REST routes are dropped, because the model can only call tools."""
    known = next((_HINTS[kind] for kind in type(error).__mro__ if kind in _HINTS), None)
    return known or " ".join(each for each in _SENTENCE.split(hint) if not _ROUTE.search(each))


def _build_error_result(message: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=message)], is_error=True)
