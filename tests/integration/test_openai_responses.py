"""Conversations, streams in the background, items and limits of the Responses API, by the real OpenAI client."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from openai import APIStatusError, BadRequestError, NotFoundError, OpenAI

from tests.support.cluster import wait_until
from tests.support.harbour import COUNT, KEEPER, LAMP, Harbour, Model, harbour

ANSWER = "Ada Brandt kept it [1]."
TOOL: Any = {"type": "file_search", "vector_store_ids": ["default"]}
RESULTS: Any = ["file_search_call.results"]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), model) as made:
        yield made


@pytest.fixture(scope="module")
def openai(service: Harbour) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.url}/v1", api_key=service.key, max_retries=0) as client:
        yield client


def ended(openai: OpenAI, response_id: str) -> Any:  # noqa: ANN401
    wait_until(lambda: openai.responses.retrieve(response_id).status not in ("queued", "in_progress"), what="it ended")
    return openai.responses.retrieve(response_id)


def test_settings_are_repeated_now_and_later(openai: OpenAI) -> None:
    sent: Any = {
        "temperature": 0.3,
        "top_p": 0.5,
        "max_output_tokens": 2_000,
        "metadata": {"team": "pilots"},
        "user": "ann",
        "truncation": "auto",
        "instructions": "Be brief.",
    }
    made = openai.responses.create(model="leadline:direct", input=KEEPER, tools=[TOOL], **sent)
    later = openai.responses.retrieve(made.id)
    for found in (made, later):
        shown = found.model_dump()
        assert {name: shown[name] for name in sent} == sent
        assert (found.model, found.status, found.background) == ("leadline:direct", "completed", False)
        assert found.tools[0].model_dump()["vector_store_ids"] == ["default"]
    background = openai.responses.create(model="leadline", input=KEEPER, background=True, **sent)
    done = ended(openai, background.id)
    assert (done.background, done.metadata, done.temperature) == (True, {"team": "pilots"}, 0.3)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": 5}, {"top_p": 2}, {"service_tier": "fast"}, {"truncation": "x"}, {"max_output_tokens": 1}],
    ids=str,
)
def test_settings_outside_their_bounds_are_refused(openai: OpenAI, wrong: dict[str, Any]) -> None:
    with pytest.raises(APIStatusError) as error:
        openai.responses.create(model="leadline", input=KEEPER, extra_body=wrong)
    assert error.value.status_code == 422
    assert error.value.param == next(iter(wrong))


def test_a_limit_of_tokens_ends_the_response_incomplete(openai: OpenAI, service: Harbour) -> None:
    long = Model()
    long.wrapped = "It was a very long time ago. " * 10
    reply, service.model.reply = service.model.reply, long
    sent: Any = {"model": "leadline:direct", "input": f"{KEEPER} Be so kind.", "max_output_tokens": 16}
    try:
        made: Any = openai.responses.create(**sent)
        events: Any = list(openai.responses.create(**sent, stream=True))
        text = "".join(each.delta for each in events if each.type == "response.output_text.delta")
        assert events[-1].type == "response.incomplete"
        streamed = events[-1].response
        kept: Any = list(openai.responses.create(**sent, background=True, stream=True))[-1].response
    finally:
        service.model.reply = reply
    every: list[Any] = [made, streamed, kept, openai.responses.retrieve(made.id)]
    for found in every:
        assert (found.status, found.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        assert found.output_text.startswith("It was a very long time ago.")
        assert len(found.output_text) <= 16 * 8
        assert len(found.leadline["text"]) > len(found.output_text)
    assert text == streamed.output_text == made.output_text == kept.output_text


def test_a_limit_of_tokens_ends_a_chat_completion_with_length(openai: OpenAI, service: Harbour) -> None:
    long = Model()
    long.wrapped = "It was a very long time ago. " * 10
    reply, service.model.reply = service.model.reply, long
    sent: Any = {"model": "leadline:direct", "messages": [{"role": "user", "content": f"{KEEPER} Be so good."}]}
    try:
        for limit in ({"max_tokens": 16}, {"max_completion_tokens": 16, "max_tokens": 9_000}):
            limited: Any = {**sent, **limit}
            made: Any = openai.chat.completions.create(**limited).choices[0]
            chunks: Any = list(openai.chat.completions.create(**limited, stream=True))
            text = "".join(each.choices[0].delta.content or "" for each in chunks)
            assert (made.finish_reason, chunks[-1].choices[0].finish_reason) == ("length", "length")
            assert text == made.message.content
            assert text.startswith("It was a very long time ago.")
            assert len(text) <= 16 * 8
            assert made.message.annotations == []
            assert "Ada Brandt kept it [" in chunks[-1].leadline["text"]
        whole = openai.chat.completions.create(**sent, max_tokens=9_000).choices[0]
        assert (whole.finish_reason, whole.message.content[-1:]) == ("stop", ".")
    finally:
        service.model.reply = reply


@pytest.mark.parametrize("limit", [-1, 0])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_a_limit_that_means_none_elsewhere_is_refused_with_the_next_step(openai: OpenAI, name: str, limit: int) -> None:
    """Programs for llama.cpp and LM Studio send -1 for no limit; OpenAI and vLLM reject it."""
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": KEEPER}]}
    path, asked = ("/responses", {"input": KEEPER}) if name == "max_output_tokens" else ("/chat/completions", asked)
    with pytest.raises(APIStatusError) as error:
        openai.post(path, body={"model": "leadline", **asked, name: limit}, cast_to=object)
    assert (error.value.status_code, error.value.param) == (422, name)
    assert f"The limit is {limit}. Send at least " in error.value.message
    assert "or leave it out for no limit." in error.value.message


def test_the_search_is_shown_with_its_queries_scores_and_passages(openai: OpenAI) -> None:
    for stream in (False, True):
        if stream:
            with openai.responses.stream(
                model="leadline:direct", input=KEEPER, tools=[TOOL], include=RESULTS
            ) as events:
                made: Any = events.get_final_response()
        else:
            made = openai.responses.create(model="leadline:direct", input=KEEPER, tools=[TOOL], include=RESULTS)
        search, message = made.output
        assert (search.type, message.type) == ("file_search_call", "message")
        assert search.queries[0] == KEEPER
        assert len(search.queries) == len(set(search.queries))
        assert len(search.results) >= 2  # also passages that were read and not cited
        assert all(0 < each.score <= 1 for each in search.results)
        best = search.results[0]
        assert best.filename == "harbour.md"
        assert "She lit the lamp for the first time in 1871" in best.text  # the passage, not only the quotation


def test_an_empty_store_gets_a_search_too(openai: OpenAI) -> None:
    store = openai.vector_stores.create(name="Empty")
    tool: Any = {"type": "file_search", "vector_store_ids": [store.id]}
    made: Any = openai.responses.create(model="leadline", input=KEEPER, tools=[tool], include=RESULTS)
    assert [each.type for each in made.output] == ["file_search_call", "message"]
    assert made.output[0].queries
    assert made.output[0].results == []


def test_the_input_of_a_response_is_listed(openai: OpenAI) -> None:
    sent: Any = [
        {"role": "user", "content": "Good morning."},
        {"role": "assistant", "content": "Good morning to you."},
        {"role": "user", "content": KEEPER},
    ]
    made = openai.responses.create(model="leadline", input=sent)
    found: Any = list(openai.responses.input_items.list(made.id, limit=1, order="asc"))
    assert [(each.role, each.content[0].text) for each in found] == [(each["role"], each["content"]) for each in sent]
    newest: Any = openai.responses.input_items.list(made.id).data[0]
    assert newest.content[0].text == KEEPER
    with pytest.raises(NotFoundError):
        openai.responses.input_items.list("resp_nobody")


def test_tokens_of_the_input_are_counted(openai: OpenAI) -> None:
    short = openai.responses.input_tokens.count(model="leadline", input=KEEPER).input_tokens
    long = openai.responses.input_tokens.count(model="leadline", input=f"{KEEPER} {'It was dark. ' * 50}").input_tokens
    assert 0 < short < long


def test_a_conversation_is_made_continued_listed_and_deleted(openai: OpenAI, service: Harbour) -> None:
    hello: Any = [{"type": "message", "role": "user", "content": "My boat is called Petrel."}]
    made = openai.conversations.create(items=hello, metadata={"topic": "boats"})
    assert made.id.startswith("conv_")
    assert openai.conversations.retrieve(made.id) == made
    changed = openai.conversations.update(made.id, metadata={"topic": "lamps"})
    assert changed.metadata == {"topic": "lamps"}

    first = openai.responses.create(model="leadline:direct", input=LAMP, conversation=made.id, tools=[TOOL])
    assert first.conversation is not None
    assert first.conversation.id == made.id
    prompts = str(service.model.requests)
    assert "Petrel" in prompts  # the added message is history of the question

    added: Any = openai.conversations.items.create(made.id, items=[{"role": "user", "content": "Thank you."}])
    items: Any = list(openai.conversations.items.list(made.id, limit=2, order="asc"))
    assert [each.type for each in items] == ["message", "message", "file_search_call", "message", "message"]
    texts = [each.content[0].text for each in items if each.type == "message"]
    assert texts == ["My boat is called Petrel.", LAMP, "She lit it in 1871 [1].", "Thank you."]
    assert list(openai.conversations.items.list(made.id, limit=2)) == items[::-1]
    for each in items:
        assert openai.conversations.items.retrieve(each.id, conversation_id=made.id) == each

    openai.conversations.items.delete(added.data[0].id, conversation_id=made.id)
    with pytest.raises(BadRequestError, match="only deleted together"):
        openai.conversations.items.delete(items[1].id, conversation_id=made.id)
    assert len(list(openai.conversations.items.list(made.id))) == 4
    bare = made.id.removeprefix("conv_")
    assert service.client.get(f"/v1/conversations/{bare}")["turns"][0]["question"] == LAMP

    assert openai.conversations.delete(made.id).deleted
    for gone in (openai.conversations.retrieve, openai.conversations.items.list):
        with pytest.raises(NotFoundError):
            gone(made.id)


def test_a_background_stream_is_resumed_at_any_event(openai: OpenAI) -> None:
    """Each event is sent with the same number while the answer is made, and when it is sent again later."""
    sent: Any = {"model": "leadline:direct", "input": KEEPER, "tools": [TOOL], "include": RESULTS}
    whole: Any = list(openai.responses.create(**sent, background=True, stream=True))
    numbers = [each.sequence_number for each in whole]
    assert numbers == sorted(set(numbers))
    assert (whole[0].type, whole[-1].type) == ("response.created", "response.completed")
    made = whole[-1].response
    assert (made.output_text, made.background, made.output[0].results[0].filename) == (ANSWER, True, "harbour.md")
    assert openai.responses.retrieve(made.id, include=RESULTS).output == made.output
    text = "".join(each.delta for each in whole if each.type == "response.output_text.delta")
    assert text == ANSWER
    for cursor in (numbers[0], numbers[3], numbers[-6], numbers[-2]):
        read = [each for each in whole if each.sequence_number <= cursor]
        rest: Any = list(openai.responses.retrieve(made.id, stream=True, starting_after=cursor, include=RESULTS))
        assert [each.type for each in rest if "delta" not in each.type] == [
            each.type for each in whole if each.sequence_number > cursor and "delta" not in each.type
        ]
        pieces = [each.delta for each in (*read, *rest) if each.type == "response.output_text.delta"]
        assert "".join(pieces) == ANSWER
        assert rest[-1].sequence_number == whole[-1].sequence_number
        assert rest[-1].response.output == made.output
    assert list(openai.responses.retrieve(made.id, stream=True, starting_after=numbers[-1])) == []


def test_an_answer_goes_on_when_its_background_stream_is_cut(openai: OpenAI, model: Model) -> None:
    model.pause.clear()
    try:
        events: Any = openai.responses.create(
            model="leadline:direct", input=KEEPER, tools=[TOOL], background=True, stream=True
        )
        first = next(iter(events))
        events.close()
        during = openai.responses.retrieve(first.response.id)
        assert (during.status, during.background) == ("in_progress", True)
    finally:
        model.go_on()
    rest: Any = list(openai.responses.retrieve(first.response.id, stream=True, starting_after=first.sequence_number))
    assert rest[0].sequence_number > first.sequence_number
    assert rest[-1].response.output_text == ANSWER


def test_a_background_stream_is_cancelled_and_deleted(openai: OpenAI, model: Model) -> None:
    model.pause.clear()
    try:
        events: Any = openai.responses.create(model="leadline:direct", input=KEEPER, background=True, stream=True)
        first = next(iter(events))
        assert openai.responses.cancel(first.response.id).status == "cancelled"
        assert [each.type for each in events][-1] == "response.failed"
    finally:
        model.go_on()
    openai.responses.delete(first.response.id)
    with pytest.raises(NotFoundError):
        openai.responses.retrieve(first.response.id)


def test_a_run_is_followed_as_a_stream(openai: OpenAI) -> None:
    made = openai.responses.create(model="leadline", input=COUNT, background=True)
    events: Any = list(openai.responses.retrieve(made.id, stream=True))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert events[-1].response.output_text == ended(openai, made.id).output_text
    openai.responses.delete(made.id)
    with pytest.raises(NotFoundError):
        openai.responses.retrieve(made.id)


def test_earlier_messages_are_history_of_a_background_stream(openai: OpenAI, service: Harbour) -> None:
    sent: Any = [
        {"role": "user", "content": "My boat is called Cormorant."},
        {"role": "assistant", "content": "A fine name."},
        {"role": "user", "content": LAMP},
    ]
    events: Any = list(openai.responses.create(model="leadline:direct", input=sent, background=True, stream=True))
    assert events[-1].type == "response.completed"
    assert "Cormorant" in str(service.model.requests)


def test_errors_speak_of_what_was_sent(openai: OpenAI) -> None:
    with pytest.raises(NotFoundError, match="Vector store 'vs_x' not found") as error:
        openai.vector_stores.retrieve("vs_x")
    assert error.value.param == "vector_store_id"
    assert "collection" not in error.value.message
    with pytest.raises(NotFoundError, match="File batch 'b' not found") as error:
        openai.vector_stores.file_batches.retrieve("b", vector_store_id="default")
    assert error.value.param == "batch_id"
    missing: Any = {"type": "file_search", "vector_store_ids": ["vs_x"]}
    with pytest.raises(NotFoundError, match="Vector store 'vs_x' not found") as error:
        openai.responses.create(model="leadline", input=KEEPER, tools=[missing])
    assert error.value.param == "tools"
    with pytest.raises(APIStatusError) as empty:
        openai.responses.create(model="leadline", input="")
    assert (empty.value.code, empty.value.param) == ("question_empty", "input")
    with pytest.raises(APIStatusError) as empty:
        openai.chat.completions.create(model="leadline", messages=[{"role": "user", "content": " "}])
    assert empty.value.param == "messages"
    with pytest.raises(APIStatusError, match="Continue one with"):
        openai.responses.compact(model="leadline", input=KEEPER)
    with pytest.raises(APIStatusError, match="not stored"):
        openai.chat.completions.list()
    with pytest.raises(APIStatusError, match="POST /v1/files"):
        openai.uploads.create(bytes=3, filename="x.md", mime_type="text/markdown", purpose="assistants")


def test_models_have_names_and_times(openai: OpenAI) -> None:
    store = openai.vector_stores.create(name="The coast")
    listed = {each.id: each for each in openai.models.list()}
    found: Any = listed[f"leadline/{store.id}"]
    assert (found.name, found.created) == ("The coast", store.created_at)
    assert all(each.created > 0 for each in listed.values())
    assert openai.models.retrieve(f"leadline/{store.id}") == found


def test_a_retry_is_only_suggested_if_it_can_help(service: Harbour) -> None:
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {service.key}"}, timeout=60) as http:
        reply, service.model.reply = service.model.reply, lambda _: ""
        calls = len(service.model.requests)
        found = http.post("/v1/responses", json={"model": "leadline:direct", "input": "Who painted it?"})
        assert (found.status_code, found.json()["code"]) == (502, "language_model_output"), found.text
        assert found.headers["x-should-retry"] == "false"
        assert len(service.model.requests) > calls
        service.model.reply = reply
        missing = http.get("/v1/responses/resp_nobody")
        assert "x-should-retry" not in missing.headers
