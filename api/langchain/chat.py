"""A chat model that answers from the documents of a Leadline service, with citations."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.messages import content as blocks
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

from api.answers.event_schemas import AnswerEvent, DeltaOut
from api.answers.forms import CitedSpan
from api.answers.schemas import AnswerOut, CitationOut, MessageIn, QuestionIn
from api.langchain.connection import Connection
from api.openai.annotations import build_annotation_extension, build_call_id, build_safe_text, iter_markers
from api.openai.inert import MarkdownNeutralizer, neutralize_markdown
from ingest.storage.documents.records import generate_work_id
from rlm.answers import OutputKind

_PROVIDER = "leadline"
_FREE_CHOICE, _ANY_CALL = ("auto", "none"), ("any", "required")
# Names of answer fields that are copied to the message's `response_metadata`, in addition to the citations.
_METADATA_FIELDS = {"id", "conversation", "status", "strategy", "reasons", "notes", "sentences", "coverage", "finished"}


class ChatLeadline(Connection, BaseChatModel):
    """A chat model that answers the last message from your documents, with citations.

    Earlier messages are the conversation. System messages are ignored, because the service decides how answers are
    written. With bound tools, the model can call one of them instead, and `with_structured_output` puts the checked
    answer into a schema. The text contains citation markers such as `[1]`. `content_blocks` contains the citation of
    each marker as an annotation. `response_metadata` contains the `citations` with page, span and quotation, and the
    checked `sentences`. Links, images and HTML in the text are disabled with full-width characters.

    Attributes:
        url: The service's address. Defaults to `LEADLINE_URL`.
        api_key: The API key. Defaults to `LEADLINE_API_KEY`.
        timeout_seconds: The timeout of each request.
        max_retries: The maximum number of times to retry a request.
        ask_kwargs: Additional fields of the question, such as `{"collections": ["reports"], "strategy": "table"}`.
            `invoke` and `stream` accept them too.
        http_client: An `httpx.Client` to use, which you close yourself.
        http_async_client: An `httpx.AsyncClient` to use, which you close yourself.

    Raises:
        leadline.ServiceError: If the service rejects the question or fails.
        ValueError: If there is no human message with text, or `stop` is given.

    Example:
        chat = ChatLeadline(url="https://leadline.example.org", ask_kwargs={"collections": ["novels"]})
        message = chat.invoke("Which house does Mr. Bingley rent?")
    """

    timeout_seconds: float = Field(600.0, gt=0)
    ask_kwargs: dict[str, Any] = Field(default_factory=dict)

    @property
    def _llm_type(self) -> str:
        return _PROVIDER

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"url": self.url, **self.ask_kwargs}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:  # noqa: ANN401 - as in the base class
        return LangSmithParams(
            ls_provider=_PROVIDER, ls_model_name=kwargs.get("model", _PROVIDER), ls_model_type="chat"
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401 - members of a question's body
    ) -> ChatResult:
        with self.client() as client:
            return _build_chat_result(
                client.answer(self._build_question(messages, stop), **self._build_question_fields(kwargs, messages))
            )

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> ChatResult:
        async with self.async_client() as client:
            return _build_chat_result(
                await client.answer(
                    self._build_question(messages, stop), **self._build_question_fields(kwargs, messages)
                )
            )

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> Iterator[ChatGenerationChunk]:
        question, members = self._build_question(messages, stop), self._build_question_fields(kwargs, messages)
        written = None if members.get("output") else MarkdownNeutralizer()
        with self.client() as client, client.stream_answer(question, **members) as events:
            for event in events:
                for chunk in _iter_message_chunks(event, written):
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> AsyncIterator[ChatGenerationChunk]:
        question, members = self._build_question(messages, stop), self._build_question_fields(kwargs, messages)
        written = None if members.get("output") else MarkdownNeutralizer()
        async with self.async_client() as client, client.stream_answer(question, **members) as events:
            async for event in events:
                for chunk in _iter_message_chunks(event, written):
                    if run_manager:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | None = None,
        **kwargs: Any,  # noqa: ANN401 - members of a question's body
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind tools that the model can call instead of answering, or has to call with a `tool_choice`.

        Args:
            tools: Tools, functions, Pydantic classes or JSON schemas.
            tool_choice: `auto`, `none`, `any` (or `required`, or True), or the name of one tool.
            **kwargs: Additional fields of the question.

        Raises:
            ValueError: If `tool_choice` is not one of these.
        """
        functions = {each["name"]: each for each in (convert_to_openai_tool(tool)["function"] for tool in tools)}
        if isinstance(tool_choice, str) and tool_choice not in (*_ANY_CALL, *_FREE_CHOICE):
            if tool_choice not in functions:
                raise ValueError(f"`tool_choice` names {tool_choice!r}, which is not one of the tools.")
            functions, tool_choice = {tool_choice: functions[tool_choice]}, True
        must_call = tool_choice is True or tool_choice in _ANY_CALL
        chosen = [] if tool_choice == "none" else functions.values()
        described = [
            {name: each[name] for name in ("name", "description", "parameters") if name in each} for each in chosen
        ]
        return self.bind(output={"tools": described, "must_call": must_call}, **kwargs)

    def _build_question_fields(self, overrides: Mapping[str, Any], messages: Sequence[BaseMessage]) -> dict[str, Any]:
        members = {**self.ask_kwargs, **{name: value for name, value in overrides.items() if name != "stream"}}
        if results := _list_tool_results(messages):
            members["output"] = {**(members.get("output") or {}), "results": results}
        return members

    def _build_question(self, messages: Sequence[BaseMessage], stop: list[str] | None) -> QuestionIn:
        """Build a question from the messages up to the last human one. Raises `ValueError` if there is none."""
        if stop:
            raise ValueError("Stop sequences are not supported for answers with citations: omit `stop`.")
        turns = [each for each in messages if isinstance(each, HumanMessage | AIMessage) and str(each.text).strip()]
        while turns and not isinstance(turns[-1], HumanMessage):
            turns.pop()
        if not turns:
            raise ValueError("No human message with text found. Add a HumanMessage.")
        if len(turns) == 1:
            return QuestionIn(question=str(turns[0].text))
        return QuestionIn(messages=[_convert_message(each) for each in turns])


def _convert_message(message: BaseMessage) -> MessageIn:
    return MessageIn(role="user" if isinstance(message, HumanMessage) else "assistant", content=str(message.text))


def _list_tool_results(messages: Sequence[BaseMessage]) -> list[dict[str, str]]:
    """Return the results of the tools that were called since the last human message."""
    calls: dict[str | None, dict[str, Any]] = {}
    results: list[dict[str, str]] = []
    for message in messages:
        if isinstance(message, HumanMessage):
            results.clear()
        elif isinstance(message, AIMessage):
            calls |= {call["id"]: dict(call) for call in message.tool_calls}
        elif isinstance(message, ToolMessage):
            call = calls.get(message.tool_call_id, {"name": message.name or "tool", "args": {}})
            text = str(message.text)
            results.append({"tool": call["name"], "arguments": json.dumps(call["args"]), "text": text})
    return results


def _build_tool_calls(answer: AnswerOut) -> list[ToolCall]:
    output = answer.output
    if output is None or output.kind is not OutputKind.CALL:
        return []
    call_id = build_call_id(answer.id or generate_work_id())
    return [ToolCall(name=output.tool, args=json.loads(output.text), id=call_id, type="tool_call")]


def _build_text(answer: AnswerOut) -> str:
    output = answer.output
    is_refusal = output is not None and output.kind is OutputKind.REFUSAL
    return neutralize_markdown(output.text) if output is not None and is_refusal else build_safe_text(answer)


def _build_chat_result(answer: AnswerOut) -> ChatResult:
    message = AIMessage(
        _build_text(answer),
        tool_calls=_build_tool_calls(answer),
        response_metadata=_build_response_metadata(answer),
        usage_metadata=_build_usage_metadata(answer),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _iter_message_chunks(event: AnswerEvent, neutralizer: MarkdownNeutralizer | None) -> Iterator[ChatGenerationChunk]:
    """Convert an event to message chunks. Deltas become text, and the last event adds citations and usage.

    Without a neutralizer, the last event also has the whole text, because the answer is then put into another form.
    """
    if isinstance(event, DeltaOut):
        text = neutralizer.feed(event.text) if neutralizer else ""
        if text:
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))
    elif isinstance(event, AnswerOut):
        last = AIMessageChunk(
            content=neutralizer.finish() if neutralizer else _build_text(event),
            tool_call_chunks=[
                tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=0)
                for call in _build_tool_calls(event)
            ],
            response_metadata=_build_response_metadata(event),
            usage_metadata=_build_usage_metadata(event),
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)


def _build_response_metadata(answer: AnswerOut) -> dict[str, Any]:
    return {
        "model_provider": _PROVIDER,
        "model_name": _PROVIDER,
        "finish_reason": "tool_calls" if _build_tool_calls(answer) else "stop" if answer.finished else "length",
        "citations": [each.model_dump(mode="json") for each in answer.citations],
        **answer.model_dump(mode="json", include=_METADATA_FIELDS),
    }


def _build_usage_metadata(answer: AnswerOut) -> UsageMetadata:
    read, written = answer.usage.prompt_tokens, answer.usage.completion_tokens
    return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)


def _build_content_blocks(message: AIMessage) -> list[blocks.ContentBlock]:
    """Build standard blocks: the text with the citation of each marker as an annotation, and the calls of tools."""
    text = str(message.text)
    cited = [CitationOut.model_validate(each) for each in message.response_metadata.get("citations", ())]
    annotations: list[blocks.Annotation] = [
        blocks.create_citation(
            url=CitedSpan(each.document_id, each.start, each.end).api_path,
            title=each.title,
            start_index=start,
            end_index=end,
            cited_text=each.quote,
            id=f"citation_{start}",
            **build_annotation_extension(each),
        )
        for start, end, each in iter_markers(text, cited)
    ]
    written = [blocks.TextContentBlock(type="text", text=text, annotations=annotations)] if text else []
    return [
        *written,
        *(blocks.create_tool_call(each["name"], each["args"], id=each["id"]) for each in message.tool_calls),
    ]


register_translator(_PROVIDER, _build_content_blocks, _build_content_blocks)
