"""Answers in the form that a program requests, by the real clients: JSON by a schema, and calls of its functions."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from openai import BadRequestError, OpenAI
from pydantic import BaseModel, Field

from api.langchain import ChatLeadline
from tests.support.form_filler import fill_form
from tests.support.harbour import COUNT, KEEPER, Harbour, Model, harbour

MODEL = Model()
ANSWER = "Ada Brandt kept it [1]."
MESSAGES: Any = [{"role": "user", "content": KEEPER}]


class Person(BaseModel):
    name: str
    born: int | None


class Light(BaseModel):
    """A lighthouse."""

    keepers: list[Person] = Field(description="Everybody who kept it")
    kind: Literal["lighthouse", "lightship"]


LIGHT: Any = {"type": "json_schema", "json_schema": {"name": "light", "schema": Light.model_json_schema()}}
RESPONSES_LIGHT: Any = {"format": {"type": "json_schema", "name": "light", "schema": Light.model_json_schema()}}
CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "description": "In a city", "parameters": CITY}}
RESPONSES_WEATHER: Any = {"type": "function", "name": "weather", "parameters": CITY, "strict": False}
SEARCH: Any = {"type": "file_search", "vector_store_ids": ["default"]}
FILLED = '{"keepers": [{"name": "Ada Brandt", "born": 1}], "kind": "lightship"}'


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), MODEL) as made:
        yield made


@pytest.fixture(scope="module")
def openai(service: Harbour) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.url}/v1", api_key=service.key, max_retries=0) as client:
        yield client


@pytest.fixture(autouse=True)
def usual_form() -> Iterator[None]:
    yield
    MODEL.form = fill_form


def text_of(events: Any) -> str:  # noqa: ANN401
    return "".join(each.delta for each in events if each.type == "response.output_text.delta")


def cited(made: BaseModel) -> Any:  # noqa: ANN401 - JSON
    assert made.model_extra is not None
    return made.model_extra["leadline"]["citations"]


def test_a_chat_completion_follows_the_schema_and_cites_like_the_plain_answer(openai: OpenAI) -> None:
    plain = openai.chat.completions.create(model="leadline", messages=MESSAGES)
    made = openai.chat.completions.parse(model="leadline", messages=MESSAGES, response_format=Light)
    message = made.choices[0].message
    assert message.parsed == Light.model_validate_json(FILLED)
    assert (message.content, made.choices[0].finish_reason) == (FILLED, "stop")
    assert cited(made) == cited(plain)
    assert message.annotations is not None
    assert plain.choices[0].message.annotations is not None
    assert [each.url_citation.url for each in message.annotations] == [
        each.url_citation.url for each in plain.choices[0].message.annotations
    ]
    assert message.annotations[0].url_citation.end_index == len(FILLED)
    assert made.usage is not None
    assert plain.usage is not None
    assert made.usage.prompt_tokens > plain.usage.prompt_tokens


def test_a_response_follows_the_schema_and_is_read_later_as_it_was_sent(openai: OpenAI) -> None:
    made = openai.responses.parse(model="leadline", input=KEEPER, text_format=Light)
    assert made.output_parsed == Light.model_validate_json(FILLED)
    assert made.text is not None
    assert made.text.format is not None
    assert made.text.format.type == "json_schema"
    again = openai.responses.retrieve(made.id)
    assert again.output_text == made.output_text
    assert cited(again) == cited(made)


def test_streams_have_the_valid_json_and_no_word_of_the_text(openai: OpenAI) -> None:
    chunks = list(
        openai.chat.completions.create(model="leadline", messages=MESSAGES, response_format=LIGHT, stream=True)
    )
    assert "".join(each.choices[0].delta.content or "" for each in chunks) == FILLED
    events = list(openai.responses.create(model="leadline", input=KEEPER, text=RESPONSES_LIGHT, stream=True))
    assert "".join(each.delta for each in events if each.type == "response.output_text.delta") == FILLED
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == FILLED


def test_a_json_object_without_a_schema_follows_the_programs_instructions(openai: OpenAI, service: Harbour) -> None:
    MODEL.form = lambda request: json.dumps({"value": {"who": "Ada Brandt"}, "reason": ""})
    instructed: Any = [{"role": "system", "content": "Reply with the member `who`."}, *MESSAGES]
    made = openai.chat.completions.create(
        model="leadline", messages=instructed, response_format={"type": "json_object"}
    )
    assert made.choices[0].message.content == '{"who": "Ada Brandt"}'
    assert "Reply with the member `who`." in service.model.requests[-1]["messages"][-1]["content"]


def test_a_format_of_responses_without_a_schema_is_any_json_object(openai: OpenAI) -> None:
    MODEL.form = lambda request: json.dumps({"value": {"who": "Ada Brandt"}, "reason": ""})
    form: Any = {"format": {"type": "json_schema"}}
    made = openai.responses.create(model="leadline", input=KEEPER, text=form)
    assert made.output_text == '{"who": "Ada Brandt"}'


def test_an_error_about_a_format_names_the_field_of_the_protocol_in_use(openai: OpenAI) -> None:
    grammar: Any = {"type": "grammar"}
    with pytest.raises(BadRequestError) as chat:
        openai.chat.completions.create(model="leadline", messages=MESSAGES, response_format=grammar)
    with pytest.raises(BadRequestError) as responses:
        openai.responses.create(model="leadline", input=KEEPER, text={"format": grammar})
    assert (chat.value.param, responses.value.param) == ("response_format", "text.format")


def test_a_schema_that_only_the_instructions_contain_is_followed(openai: OpenAI) -> None:
    instructed: Any = [{"role": "system", "content": f"Use {json.dumps(Light.model_json_schema())}"}, *MESSAGES]
    made = openai.chat.completions.create(model="leadline", messages=instructed)
    assert made.choices[0].message.content == FILLED


def test_the_schema_of_a_tool_in_instructions_is_no_form(openai: OpenAI) -> None:
    described = f'You have a tool.\nName: weather\nArguments: {json.dumps(CITY)}\nCall it so: {{"city": "Oban"}}'
    instructed: Any = [{"role": "system", "content": described}, *MESSAGES]
    made = openai.chat.completions.create(model="leadline", messages=instructed)
    assert made.choices[0].message.content == ANSWER


def test_a_required_function_is_called(openai: OpenAI) -> None:
    named: Any = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", named):
        made = openai.chat.completions.create(model="leadline", messages=MESSAGES, tools=[WEATHER], tool_choice=choice)
        assert made.choices[0].message.tool_calls is not None
        (call,) = made.choices[0].message.tool_calls
        assert call.type == "function"
        assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Ada Brandt"}')
        assert (made.choices[0].finish_reason, made.choices[0].message.content) == ("tool_calls", None)
    with openai.chat.completions.stream(
        model="leadline", messages=MESSAGES, tools=[WEATHER], tool_choice="required"
    ) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert calls is not None
    (streamed,) = calls
    assert streamed.type == "function"
    assert streamed.function.arguments == '{"city": "Ada Brandt"}'


def test_a_required_call_follows_the_result_of_another(openai: OpenAI, service: Harbour) -> None:
    save: Any = {"type": "function", "function": {"name": "save", "parameters": Light.model_json_schema()}}
    asked: Any = {"model": "leadline", "tools": [WEATHER, save], "tool_choice": "required"}
    first = openai.chat.completions.create(messages=MESSAGES, **asked)
    message = first.choices[0].message
    assert message.tool_calls
    result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
    said: Any = [*MESSAGES, message.model_dump(exclude_none=True), result]
    made = openai.chat.completions.create(messages=said, **asked)
    assert made.choices[0].message.tool_calls is not None
    (call,) = made.choices[0].message.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("save", FILLED)
    assert "result of weather" in service.model.requests[-1]["messages"][-1]["content"]


def test_a_response_calls_a_function_and_continues_with_its_result(openai: OpenAI) -> None:
    made = openai.responses.create(model="leadline", input=KEEPER, tools=[RESPONSES_WEATHER])
    (call,) = made.output
    assert call.type == "function_call"
    assert (call.name, call.arguments) == ("weather", '{"city": "Ada Brandt"}')
    assert openai.responses.retrieve(made.id).output == made.output
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    for given, before in (([*MESSAGES, call.model_dump(), result], None), ([result], made.id)):
        after = openai.responses.create(
            model="leadline", input=given, tools=[RESPONSES_WEATHER], previous_response_id=before
        )
        assert after.output_text.endswith(" [1].\n\nThe tool says so.")
        assert after.output[0].type == "message"
        content = after.output[0].content[0]
        assert content.type == "output_text"
        (annotation,) = content.annotations
        assert annotation.type == "url_citation"
        assert content.text[annotation.start_index : annotation.end_index] == "[1]"
    with openai.responses.stream(model="leadline", input=KEEPER, tools=[RESPONSES_WEATHER]) as stream:
        (streamed,) = stream.get_final_response().output
    assert streamed.type == "function_call"
    assert streamed.arguments == call.arguments


def test_the_result_of_a_function_is_shown_to_the_model_and_added_to_the_answer(
    openai: OpenAI, service: Harbour
) -> None:
    first = openai.chat.completions.create(model="leadline", messages=MESSAGES, tools=[WEATHER])
    message = first.choices[0].message
    assert message.tool_calls
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny, 21 degrees"}
    said: Any = [*MESSAGES, message.model_dump(exclude_none=True), result]
    made = openai.chat.completions.create(model="leadline", messages=said, tools=[WEATHER])
    assert made.choices[0].message.content == f"{ANSWER}\n\nThe tool says so."
    prompt = service.model.requests[-1]["messages"][-1]["content"]
    assert "BEGIN result of weather" in prompt
    assert '{"city": "Ada Brandt"}\nsunny, 21 degrees' in prompt
    # The documents do not answer this question, so the answer is the result of the tool alone.
    other: Any = [{"role": "user", "content": "What is the weather like?"}, *said[1:]]
    made = openai.chat.completions.create(model="leadline", messages=other, tools=[WEATHER])
    assert made.choices[0].message.content == "The tool says so."


def test_a_function_that_the_model_does_not_need_leaves_the_answer_as_it_is(openai: OpenAI) -> None:
    MODEL.form = lambda request: json.dumps({"call": None, "reason": ""})
    made = openai.chat.completions.create(model="leadline", messages=MESSAGES, tools=[WEATHER])
    assert (made.choices[0].message.content, made.choices[0].finish_reason) == (ANSWER, "stop")
    assert made.choices[0].message.annotations
    streamed = list(openai.chat.completions.create(model="leadline", messages=MESSAGES, tools=[WEATHER], stream=True))
    assert "".join(each.choices[0].delta.content or "" for each in streamed) == ANSWER
    none = openai.chat.completions.create(model="leadline", messages=MESSAGES, tools=[WEATHER], tool_choice="none")
    assert none.choices[0].message.content == ANSWER


def test_what_the_answer_lacks_is_a_refusal_and_not_invented(openai: OpenAI) -> None:
    MODEL.form = lambda request: json.dumps({"value": None, "reason": "The answer names no lightship."})
    made = openai.chat.completions.parse(model="leadline", messages=MESSAGES, response_format=Light)
    message = made.choices[0].message
    assert (message.parsed, message.content, message.refusal) == (None, None, "The answer names no lightship.")
    with openai.responses.stream(model="leadline", input=KEEPER, text_format=Light) as stream:
        response = stream.get_final_response()
    assert response.output[0].type == "message"
    refused = response.output[0].content[0]
    assert refused.type == "refusal"
    assert refused.refusal == message.refusal
    again = openai.responses.retrieve(response.id).output[0]
    assert again.model_dump()["content"] == [refused.model_dump()]


def test_a_reply_that_does_not_follow_the_schema_is_asked_for_once_more(openai: OpenAI, service: Harbour) -> None:
    wrong = '{"value": {"keepers": [], "kind": "windmill"}, "reason": ""}'
    MODEL.form = lambda request: fill_form(request) if "was rejected" in str(request["messages"]) else wrong
    made = openai.chat.completions.create(model="leadline", messages=MESSAGES, response_format=LIGHT)
    assert made.choices[0].message.content == FILLED
    assert "enum" in service.model.requests[-1]["messages"][-1]["content"].partition("was rejected")[2]
    MODEL.form = lambda request: wrong
    before = len(service.model.requests)
    again: Any = [{"role": "user", "content": f"{KEEPER} Tell me."}]
    made = openai.chat.completions.create(model="leadline", messages=again, response_format=LIGHT)
    assert made.choices[0].message.content is None
    assert "does not follow the JSON schema" in (made.choices[0].message.refusal or "")
    formatting = [each for each in service.model.requests[before:] if "'value'" in str(each.get("response_format", ""))]
    assert len(formatting) == 2


def test_nothing_in_json_is_syntax_to_a_client_that_renders_it(openai: OpenAI) -> None:
    value = {"name": "![x](https://e.org/?q=1) <img src=x> www.e.org", "born": None}
    MODEL.form = lambda request: json.dumps({"value": value, "reason": ""})
    form: Any = {"type": "json_schema", "json_schema": {"name": "p", "schema": Person.model_json_schema()}}
    made = openai.chat.completions.create(model="leadline", messages=MESSAGES, response_format=form)
    content = made.choices[0].message.content or ""
    assert json.loads(content) == value
    assert not any(syntax in content for syntax in ("![", "](", "://", "<img", "www."))


_ENDLESS = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/a"}},
    "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}},
}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ("not supported", {"tools": [{"type": "web_search"}]}),
        ("not one of `tools`", {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "x"}}}),
        ("`functions` is not supported", {"functions": [WEATHER["function"]]}),
        ("`function_call` is not supported", {"function_call": {"name": "weather"}}),
        ("not supported", {"response_format": {"type": "grammar"}}),
        ("not supported", {"response_format": {"type": "json_schema"}}),
        ("outside itself", {"$ref": "http://127.0.0.1:9/schema.json"}),
        ("does not contain", {"$ref": "#/$defs/nowhere"}),
        ("refers to itself", _ENDLESS),
        ("is invalid", {"type": "nothing"}),
        ("limit is", {"enum": ["x" * 70_000]}),
    ],
)
def test_forms_that_are_not_possible_are_rejected_before_any_work(
    openai: OpenAI, service: Harbour, words: str, body: dict[str, Any]
) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": body}}
    more: Any = (
        body if {"tools", "response_format", "functions", "function_call"} & set(body) else {"response_format": schema}
    )
    before = len(service.model.requests)
    with pytest.raises(BadRequestError, match=words):
        openai.chat.completions.create(model="leadline", messages=MESSAGES, **more)
    assert len(service.model.requests) == before


def test_a_replay_says_when_the_response_was_completed(openai: OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = openai.responses.create(model="leadline", input=KEEPER)
    monkeypatch.setattr("api.openai.responses.time", SimpleNamespace(time=lambda: 1.0))
    replayed: Any = list(openai.responses.retrieve(made.id, stream=True))
    assert replayed[-1].response.completed_at >= made.created_at
    assert replayed[-1].response == openai.responses.retrieve(made.id)


def test_a_form_is_never_cut_and_is_repeated_and_streamed_again_as_it_was_stored(openai: OpenAI) -> None:
    sent: Any = {"model": "leadline", "input": KEEPER, "text": RESPONSES_LIGHT, "max_output_tokens": 16}
    made: Any = openai.responses.create(**sent, tools=[SEARCH], tool_choice="auto")
    streamed: Any = list(openai.responses.create(**sent, tools=[SEARCH], stream=True))
    again: Any = list(openai.responses.retrieve(made.id, stream=True))
    for events in (streamed, again):
        assert text_of(events) == FILLED
        assert events[-1].type == "response.completed"
    later: Any = openai.responses.retrieve(made.id)
    for found in (made, streamed[-1].response, again[-1].response, later):
        assert (found.status, found.output_text, found.incomplete_details) == ("completed", FILLED, None)
        assert found.text.format.model_dump(by_alias=True)["schema"] == Light.model_json_schema()
        assert (found.tool_choice, found.max_output_tokens) == ("auto", 16)
        assert [each.type for each in found.output] == ["file_search_call", "message"]
    (at,) = (number for number, each in enumerate(again) if each.type == "response.output_text.delta")
    for cursor in (again[at - 1].sequence_number, again[at].sequence_number):
        rest: Any = list(openai.responses.retrieve(made.id, stream=True, starting_after=cursor))
        assert rest == [each for each in again if each.sequence_number > cursor]
    chat = openai.chat.completions.create(model="leadline", messages=MESSAGES, response_format=LIGHT, max_tokens=1)
    assert (chat.choices[0].message.content, chat.choices[0].finish_reason) == (FILLED, "stop")


def test_a_call_follows_the_search_and_is_an_item_of_the_conversation(openai: OpenAI) -> None:
    conversation = openai.conversations.create()
    sent: Any = {"model": "leadline", "input": KEEPER, "tools": [SEARCH, RESPONSES_WEATHER]}
    choice: Any = {"type": "function", "name": "weather"}
    made: Any = openai.responses.create(**sent, conversation=conversation.id, tool_choice=choice)
    events: Any = list(openai.responses.create(**sent, stream=True, tool_choice=choice))
    again: Any = list(openai.responses.retrieve(made.id, stream=True))
    stored: Any = openai.responses.retrieve(made.id)
    for found in (made, events[-1].response, again[-1].response, stored):
        assert [each.type for each in found.output] == ["file_search_call", "function_call"]
        assert found.tool_choice.model_dump() == choice
        assert [each.type for each in found.tools] == ["file_search", "function"]
    for each in (*events, *again):
        kind = each.type.removeprefix("response.")
        if kind.startswith("function_call") or (kind.startswith("output_item") and each.item.type == "function_call"):
            assert each.output_index == 1
    items: Any = list(openai.conversations.items.list(conversation.id, limit=1, order="asc"))
    assert [each.type for each in items] == ["message", "file_search_call", "function_call"]
    assert openai.conversations.items.retrieve(made.output[1].id, conversation_id=conversation.id) == items[2]
    newest: Any = openai.conversations.items.list(conversation.id, after=items[2].id).data
    assert newest == items[1::-1]


@pytest.mark.parametrize("continues", ["previous_response_id", "conversation"])
def test_results_are_sent_without_their_question_through_several_calls(
    openai: OpenAI, service: Harbour, continues: str
) -> None:
    MODEL.form = _call_for_oban
    sent: Any = {"model": "leadline", "tools": [RESPONSES_WEATHER]}
    first: Any = openai.responses.create(**sent, input=KEEPER, **_continue(continues, None, openai))
    second: Any = openai.responses.create(**sent, input=_results(first, "sunny"), **_continue(continues, first, openai))
    assert second.output[0].type == "function_call"
    MODEL.form = fill_form
    # The last request offers no tool, but its results count.
    third: Any = openai.responses.create(
        model="leadline", input=_results(second, "windy"), **_continue(continues, second, openai)
    )
    # The calls are not history of their own question, which would be changed by it.
    assert third.output_text == f"{ANSWER}\n\nThe tool says so."
    prompt = service.model.requests[-1]["messages"][-1]["content"]
    assert prompt.count("BEGIN result of weather") == 2
    assert prompt.index('{"city": "Oban"}\nsunny') < prompt.index('{"city": "Oban"}\nwindy')


def _call_for_oban(request: dict[str, Any]) -> str:
    members = request["response_format"]["json_schema"]["schema"]["properties"]
    return json.dumps(dict.fromkeys(members, "") | {"call": {"name": "weather", "arguments": {"city": "Oban"}}})


def _results(made: Any, text: str) -> Any:  # noqa: ANN401
    return [{"type": "function_call_output", "call_id": made.output[0].call_id, "output": text}]


def _continue(how: str, before: Any, openai: OpenAI) -> dict[str, Any]:  # noqa: ANN401
    if how == "previous_response_id":
        return {} if before is None else {"previous_response_id": before.id}
    return {"conversation": openai.conversations.create().id if before is None else before.conversation.id}


def test_a_result_counts_without_tools_and_in_the_older_role(openai: OpenAI) -> None:
    called: Any = {
        "role": "assistant",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
    }
    for result in (
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "function", "name": "weather", "content": "sunny"},
    ):
        said: Any = [*MESSAGES, called, result]
        made = openai.chat.completions.create(model="leadline", messages=said)
        assert made.choices[0].message.content == f"{ANSWER}\n\nThe tool says so."


def test_a_repeated_request_gets_the_form_again(openai: OpenAI, service: Harbour) -> None:
    for stream in (False, True):
        key: Any = {"Idempotency-Key": f"light-{stream}"}
        sent: Any = {"model": "leadline", "input": KEEPER, "text": RESPONSES_LIGHT, "stream": stream}
        first: Any = openai.responses.create(**sent, extra_headers=key)
        first = list(first)[-1].response if stream else first
        before = len(service.model.requests)
        again: Any = openai.responses.create(**sent, extra_headers=key)
        if stream:
            events = list(again)
            assert text_of(events) == FILLED
            again = events[-1].response
        assert (again.id, again.output) == (first.id, first.output)
        assert len(service.model.requests) == before


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "form",
    [
        {"text": RESPONSES_LIGHT},
        {"text": {"format": {"type": "json_object"}}},
        {"tools": [RESPONSES_WEATHER]},
        {"instructions": f"Use {json.dumps(Light.model_json_schema())}"},
    ],
    ids=str,
)
def test_a_background_response_in_a_form_is_refused_with_the_next_step(
    openai: OpenAI, service: Harbour, form: dict[str, Any], stream: bool
) -> None:
    before = len(service.model.requests)
    asked: Any = {"model": "leadline", "input": KEEPER, "background": True, "stream": stream, **form}
    with pytest.raises(BadRequestError, match=r"Background responses are text.*Omit `background` and wait") as refused:
        openai.responses.create(**asked)
    assert refused.value.param == "background"
    assert len(service.model.requests) == before


@pytest.mark.parametrize("apart", [{"background": True}, {"detach": True, "conversation": "new"}], ids=str)
def test_an_answer_in_the_background_in_a_form_is_refused_with_the_next_step(
    service: Harbour, apart: dict[str, Any]
) -> None:
    asked = {"question": KEEPER, "output": {"json_schema": Light.model_json_schema()}, **apart}
    refused = service.client.http.post("/v1/answers", json=asked)
    assert refused.status_code == 422
    assert "omit them and wait for the answer, or omit `output`" in refused.json()["detail"]
    assert service.client.get("/v1/runs")["runs"] == []


def test_a_computed_answer_is_put_into_the_form_too(openai: OpenAI) -> None:
    made = openai.responses.create(model="leadline:table", input=COUNT, text=RESPONSES_LIGHT)
    assert made.output_text == FILLED


def test_rest_and_langchain_have_forms_too(service: Harbour) -> None:
    answer = service.client.answer(KEEPER, output={"json_schema": Light.model_json_schema()})
    assert answer.output is not None
    assert (answer.output.kind, answer.output.text, answer.text) == ("json", FILLED, ANSWER)
    chat = ChatLeadline(url=service.url, api_key=service.key)
    assert chat.with_structured_output(Light).invoke(KEEPER) == Light.model_validate_json(FILLED)
    bound = chat.bind_tools([WEATHER])
    called = bound.invoke(KEEPER)
    assert [each["args"] for each in called.tool_calls] == [{"city": "Ada Brandt"}]
    streamed: Any = None
    for chunk in bound.stream(KEEPER):
        streamed = chunk if streamed is None else streamed + chunk
    assert [each["args"] for each in streamed.tool_calls] == [{"city": "Ada Brandt"}]
    result = ToolMessage("sunny", tool_call_id=called.tool_calls[0]["id"])
    after = bound.invoke([HumanMessage(KEEPER), AIMessage("", tool_calls=called.tool_calls), result])
    assert after.text == f"{ANSWER}\n\nThe tool says so."
    with pytest.raises(ValueError, match="not one of the tools"):
        chat.bind_tools([WEATHER], tool_choice="other")
