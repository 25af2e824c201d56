"""Answers the MCP SDK's server for the caller of a request: tools, resources, prompts and completions.

Results of tools are structured according to the tool's output schema, and the same JSON is also included as text.
Errors of tools are returned as results, too, with a hint that tells the model what to do next, so that it can correct
itself. Errors of everything else are errors of the protocol, because a program receives them.
"""

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import TypeVar

import structlog
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.lowlevel.server import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    CompleteRequestParams,
    CompleteResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextContent,
)
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api.admission.access import build_missing_scope_error
from api.admission.services import Services
from api.http.middleware import CALLER
from api.mcp.asking import Context
from api.mcp.completion import complete_argument
from api.mcp.failures import format_failure, format_invalid_arguments, raise_protocol_errors
from api.mcp.places import Capacity
from api.mcp.prompts import PROMPTS, Prompt
from api.mcp.resources import list_resources, list_templates, read_resource
from api.mcp.tools import INSTRUCTIONS, TOOLS, Tool
from api.mcp.uris import MAX_URI_CHARS
from ingest.storage.accounts.records import Principal, Scope
from ingest.storage.errors import LeadlineError

log = structlog.get_logger(__name__)

_NAME = "leadline"
_TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in TOOLS}
_PROMPTS: Mapping[str, Prompt] = {prompt.name: prompt for prompt in PROMPTS}
# Lists that depend on the key's scopes must not be shared between clients. Documents change, and so do the rights to
# them, so a client asks for them each time.
_CACHE_HINTS: Mapping[CacheableMethod, CacheHint] = {
    "tools/list": CacheHint(ttl_ms=60_000, scope="private"),
    "prompts/list": CacheHint(ttl_ms=60_000, scope="private"),
    "resources/templates/list": CacheHint(ttl_ms=60_000, scope="private"),
    "resources/list": CacheHint(ttl_ms=0, scope="private"),
    "resources/read": CacheHint(ttl_ms=0, scope="private"),
}

_Result = TypeVar("_Result")


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
            return _build_error_result(format_invalid_arguments(error))
        except LeadlineError as error:
            return _build_error_result(format_failure(error))
        # This is the outermost handler of a tool call. An unexpected error is logged in full, and the model gets a
        # result.
        except Exception:
            log.exception("tool failed", tool=params.name[:100])
            return _build_error_result("This call failed with an internal error. Try something else, and report it.")
        content = result.model_dump(mode="json")
        written = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace").decode()
        return CallToolResult(content=[TextContent(type="text", text=written)], structured_content=content)


class Offers:
    """The resources, prompts and completions, which all use the same services."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list_resources(self, context: Context, params: PaginatedRequestParams | None) -> ListResourcesResult:
        cursor = None if params is None else params.cursor
        return await self._answer(context, Scope.READ, lambda caller: list_resources(self._services, caller, cursor))

    async def list_templates(self, context: Context, _: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
        return list_templates()

    async def read_resource(self, context: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        """Read a resource. An unknown URI and a document that the caller may not see get the same error."""
        uri = params.uri
        contents = await self._answer(
            context, Scope.READ, lambda caller: read_resource(self._services, caller, uri), uri=uri[:MAX_URI_CHARS]
        )
        return ReadResourceResult(contents=contents)

    async def list_prompts(self, context: Context, _: PaginatedRequestParams | None) -> ListPromptsResult:
        """List the prompts that the caller's scopes allow."""
        caller = _require_caller(context)
        return ListPromptsResult(prompts=[each.definition for each in PROMPTS if each.scope in caller.scopes])

    async def get_prompt(self, context: Context, params: GetPromptRequestParams) -> GetPromptResult:
        prompt = _PROMPTS.get(params.name)
        if prompt is None:
            raise MCPError(INVALID_PARAMS, f"Prompt {params.name[:100]!r} not found. `prompts/list` lists the prompts.")
        return await self._answer(
            context,
            prompt.scope,
            lambda caller: prompt.fill_in(self._services, caller, params.arguments or {}),
            prompt=prompt.name,
        )

    async def complete(self, context: Context, params: CompleteRequestParams) -> CompleteResult:
        return await self._answer(context, Scope.READ, lambda caller: complete_argument(self._services, caller, params))

    async def _answer(
        self, context: Context, scope: Scope, work: Callable[[Principal], _Result], **about: str
    ) -> _Result:
        """Do the work in a thread, with the caller's rights. `about` is added to the data of an error."""
        caller = _require_caller(context)

        async def answer() -> _Result:
            # guard: mcp-resource-scopes
            if scope not in caller.scopes:
                raise build_missing_scope_error(scope)
            return await run_in_threadpool(work, caller)

        return await raise_protocol_errors(answer, **about)


def build_server(services: Services, capacity: Capacity) -> Server[dict[str, object]]:
    """Build the MCP server. With `LEADLINE_MCP_STATE_KEYS`, replicas can continue exchanges begun by others."""
    tools, offers, keys = Tools(services, capacity), Offers(services), services.settings.mcp_state_keys
    server: Server[dict[str, object]] = Server(
        _NAME,
        title="Leadline",
        version=version(_NAME),
        instructions=" ".join(INSTRUCTIONS.split()),
        cache_hints=_CACHE_HINTS,
        get_tool_input_schema=lambda name: _TOOLS[name].definition.input_schema if name in _TOOLS else None,
        on_list_tools=tools.list_tools,
        on_call_tool=tools.call_tool,
        on_list_resources=offers.list_resources,
        on_list_resource_templates=offers.list_templates,
        on_read_resource=offers.read_resource,
        on_list_prompts=offers.list_prompts,
        on_get_prompt=offers.get_prompt,
        on_completion=offers.complete,
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


def _build_error_result(message: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=message)], is_error=True)
