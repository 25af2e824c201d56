"""The real OpenAI client, as it is, against a running service: chat, responses and models, streamed and not."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from openai import APIStatusError, AsyncOpenAI, BadRequestError, NotFoundError, OpenAI, UnprocessableEntityError
from pydantic import BaseModel, SecretStr

from ingest.storage.queue.records import JobKind
from tests.support.cluster import wait_until
from tests.support.harbour import COUNT, KEEPER, LAMP, Harbour, Model, harbour

MODEL = Model()
ANSWER, QUOTE = "Ada Brandt kept it [1].", "keeper of the lighthouse was Ada Brandt"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), MODEL) as made:
        yield made


@pytest.fixture(scope="module")
def openai(service: Harbour) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{service.url}/v1", api_key=service.key, max_retries=0) as client:
        yield client


def user(text: str) -> Any:  # noqa: ANN401 - the client has a type for each role
    return {"role": "user", "content": text}


def ours(made: BaseModel) -> Any:  # noqa: ANN401 - JSON
    assert made.model_extra is not None
    return made.model_extra["leadline"]


def span_of(service: Harbour, cited: dict[str, Any]) -> str:
    where = {"start": cited["start"], "end": cited["end"]}
    return service.client.http.get(f"/v1/documents/{cited['document_id']}/content", params=where).text


def test_the_models_are_strategies_and_collections(openai: OpenAI) -> None:
    names = {each.id for each in openai.models.list()}
    assert names == {"leadline", "leadline:direct", "leadline:table", "leadline:recursive", "leadline/default"}
    assert openai.models.retrieve("leadline/default").object == "model"
    with pytest.raises(NotFoundError) as error:
        openai.models.retrieve("leadline/nobody")
    assert error.value.code == "model_not_found"


@pytest.mark.parametrize(("path", "words"), [("/decisions", "json_schema"), ("/next_years_endpoint", "See /docs")])
def test_a_path_that_does_not_exist_answers_in_openais_words(openai: OpenAI, path: str, words: str) -> None:
    with pytest.raises(NotFoundError, match=words) as error:
        openai.post(path, body={}, cast_to=object)
    assert error.value.code == "not_found"


def test_a_chat_completion_has_the_answer_and_annotations_that_lead_to_its_spans(
    openai: OpenAI, service: Harbour
) -> None:
    made = openai.chat.completions.create(model="leadline", messages=[user(KEEPER)])
    (choice,) = made.choices
    assert (choice.message.content, choice.finish_reason) == (ANSWER, "stop")
    assert choice.message.annotations is not None
    (annotation,) = choice.message.annotations
    cited = annotation.url_citation
    assert ANSWER[cited.start_index : cited.end_index] == "[1]"
    assert cited.title == "Harbour"
    assert service.client.http.get(cited.url).text == QUOTE
    assert span_of(service, ours(cited)) == QUOTE
    assert ours(made)["sentences"][0]["check"] == "verified"
    assert made.usage is not None
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens > 0


def test_a_streamed_chat_completion_is_the_same_piece_by_piece(openai: OpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = openai.chat.completions.create(
        model="leadline",
        messages=[user(KEEPER)],
        stream=True,
        stream_options=options,
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == ANSWER
    assert deltas[0].role == "assistant"
    (annotations,) = [found for delta in deltas if (found := (delta.model_extra or {}).get("annotations"))]
    assert annotations[0]["url_citation"]["leadline"]["quote"] == QUOTE
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_conversation_in_messages_is_understood(openai: OpenAI) -> None:
    said: list[Any] = [
        user(KEEPER),
        {"role": "assistant", "content": ANSWER},
        user("And when did she first light the lamp?"),
    ]
    instructed: list[Any] = [{"role": "system", "content": "Speak like a pirate."}, *said]
    made = openai.chat.completions.create(model="leadline/default", messages=instructed)
    assert made.choices[0].message.content == "She lit it in 1871 [1]."


def test_a_response_has_the_search_and_the_message_with_files_and_addresses(openai: OpenAI, service: Harbour) -> None:
    made = openai.responses.create(
        model="leadline",
        input=KEEPER,
        tools=[{"type": "file_search", "vector_store_ids": ["default"]}],
        include=["file_search_call.results"],
        metadata={"ticket": "7"},
    )
    assert (made.status, made.output_text, made.metadata) == ("completed", ANSWER, {"ticket": "7"})
    search, message = made.output
    assert search.type == "file_search_call"
    assert search.results is not None
    assert [QUOTE in (each.text or "") for each in search.results] == [True, False]  # the second was read and not cited
    assert search.queries == [KEEPER]
    assert message.type == "message"
    content = message.content[0]
    assert content.type == "output_text"
    file, url = content.annotations
    assert file.type == "file_citation"
    assert url.type == "url_citation"
    assert (file.file_id, file.filename) == (search.results[0].file_id, "harbour.md")
    assert ANSWER[url.start_index : url.end_index] == "[1]"
    assert ANSWER[: file.index].endswith("[1]")
    assert span_of(service, ours(file)) == QUOTE
    again = openai.responses.retrieve(made.id, include=["file_search_call.results"])
    assert (again.output, again.usage, again.conversation) == (made.output, made.usage, made.conversation)
    plain, whole = openai.responses.retrieve(made.id).output[0], made.output[0].model_copy(update={"results": None})
    assert plain == whole  # results are shown to who asks for them
    assert again.completed_at == again.created_at


def test_a_response_without_file_search_is_read_later_as_it_was_sent(openai: OpenAI) -> None:
    made = openai.responses.create(model="leadline", input=KEEPER)
    *_, last = openai.responses.create(model="leadline", input=KEEPER, stream=True)
    assert last.type == "response.completed"
    for each in (made, last.response):
        again = openai.responses.retrieve(each.id)
        assert [item.type for item in again.output] == ["message"]
        assert again.output == each.output


def test_a_streamed_response_with_file_search_is_read_later_as_it_was_sent(openai: OpenAI) -> None:
    tool: Any = {"type": "file_search", "vector_store_ids": ["default"]}
    *_, last = openai.responses.create(model="leadline", input=KEEPER, tools=[tool], stream=True)
    assert last.type == "response.completed"
    assert [each.type for each in last.response.output] == ["file_search_call", "message"]
    assert openai.responses.retrieve(last.response.id).output == last.response.output


def test_a_response_that_has_ended_stays_as_it_is_when_it_is_cancelled(openai: OpenAI) -> None:
    made = openai.responses.create(model="leadline", input=KEEPER)
    assert openai.responses.cancel(made.id).output_text == ANSWER
    with pytest.raises(NotFoundError, match=r"Response .* not found"):
        openai.responses.cancel("resp_nope")


def test_a_streamed_response_ends_as_open_responses_says(service: Harbour) -> None:
    asked = {"model": "leadline", "input": KEEPER, "stream": True}
    lines = service.client.http.post("/v1/responses", json=asked).text.splitlines()
    assert [line for line in lines if line][-1] == "data: [DONE]"
    assert not [line for line in lines if line.startswith("id:")]
    service.model.fault = "unauthorized"
    try:
        failed = service.client.http.post("/v1/responses", json={**asked, "input": "Who was Ada Brandt?"}).text
    finally:
        service.model.fault = ""
    assert "event: response.failed" in failed
    assert failed.endswith("data: [DONE]\n\n")


def test_the_events_of_a_streamed_response_are_complete_and_in_order(openai: OpenAI) -> None:
    tool: Any = {"type": "file_search", "vector_store_ids": ["default"]}
    with openai.responses.stream(model="leadline", input=KEEPER, tools=[tool]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.output_text == ANSWER
    names = [each.type for each in events]
    assert list(dict.fromkeys(names)) == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.completed",
    ]
    assert [each.sequence_number for each in events] == sorted({each.sequence_number for each in events})
    assert [each.type for each in final.output] == ["file_search_call", "message"]


def test_a_response_goes_on_with_the_conversation_of_the_one_before(openai: OpenAI) -> None:
    first = openai.responses.create(model="leadline", input=KEEPER)
    second = openai.responses.create(
        model="leadline", input="And when did she first light the lamp?", previous_response_id=first.id
    )
    assert second.output_text == "She lit it in 1871 [1]."
    turns: list[Any] = [user(KEEPER), {"role": "assistant", "content": ANSWER}, user(LAMP)]
    assert openai.responses.create(model="leadline", input=turns, store=False).output_text == second.output_text


def test_a_response_in_the_background_is_a_run_that_is_read_later(openai: OpenAI) -> None:
    begun = openai.responses.create(model="leadline:direct", input=KEEPER, background=True)
    assert begun.status == "queued"
    wait_until(lambda: openai.responses.retrieve(begun.id).status == "completed", what="it is answered")
    assert openai.responses.retrieve(begun.id).output_text == ANSWER
    assert openai.responses.cancel(begun.id).status == "completed"
    openai.responses.delete(begun.id)


@pytest.fixture(params=["queued", "in_progress", "cancelled", "completed"])
def in_background(request: pytest.FixtureRequest, openai: OpenAI, service: Harbour) -> Iterator[str]:
    """The id of a response that is made in the background, in each state in turn."""
    state, jobs = str(request.param), service.services.jobs
    if state in ("queued", "cancelled"):
        jobs.pause_kind(JobKind.RUN)
    if state == "in_progress":
        MODEL.pause.clear()
    try:
        begun = openai.responses.create(model="leadline:direct", input=KEEPER, background=True).id
        if state == "cancelled":
            openai.responses.cancel(begun)
        wait_until(lambda: openai.responses.retrieve(begun).status == state, what=f"it is {state}")
        yield begun
    finally:
        MODEL.go_on()
        jobs.resume_kind(JobKind.RUN)
        service.services.work.doorbell.notify(JobKind.RUN)


def test_a_response_in_the_background_that_is_deleted_is_gone_with_its_run(
    openai: OpenAI, service: Harbour, in_background: str
) -> None:
    run, http = in_background.removeprefix("resp_"), service.client.http
    assert http.get(f"/v1/runs/{run}").json()["question"] == KEEPER
    deleted = http.delete(f"/v1/responses/{in_background}")
    assert deleted.status_code == 200, deleted.text
    assert deleted.json() == {"id": in_background, "object": "response.deleted", "deleted": True}
    with pytest.raises(NotFoundError) as error:
        openai.responses.retrieve(in_background)
    assert error.value.code == "response_not_found"
    for path in (f"/v1/runs/{run}", f"/v1/runs/{run}/events", f"/v1/answers/{run}"):
        assert http.get(path).status_code == 404
    with pytest.raises(NotFoundError):
        openai.responses.delete(in_background)


def test_a_response_whose_answer_was_deleted_is_not_found(openai: OpenAI, service: Harbour) -> None:
    begun = openai.responses.create(model="leadline:direct", input=KEEPER, background=True).id
    wait_until(lambda: openai.responses.retrieve(begun).status == "completed", what="it is answered")
    service.client.http.delete(f"/v1/answers/{begun.removeprefix('resp_')}").raise_for_status()
    with pytest.raises(NotFoundError) as error:
        openai.responses.retrieve(begun)
    assert error.value.code == "response_not_found"


def test_a_count_is_computed_through_a_response(openai: OpenAI) -> None:
    made = openai.responses.create(model="leadline:table", input=COUNT)
    assert made.output_text.startswith("2 of the 4 orders came late")
    assert ours(made)["rows_behind_total"] == 2


def test_messages_without_a_question_are_refused_in_words(openai: OpenAI) -> None:
    with pytest.raises(APIStatusError, match="no user message"):
        openai.chat.completions.create(model="leadline", messages=[{"role": "system", "content": "x"}])


def test_filters_of_file_search_are_followed_or_refused(openai: OpenAI) -> None:
    def asked(filters: dict[str, Any]) -> str:
        tool: Any = {"type": "file_search", "vector_store_ids": ["default"], "filters": filters}
        return openai.responses.create(model="leadline", input=KEEPER, tools=[tool]).output_text

    year = {
        "type": "and",
        "filters": [{"type": "gte", "key": "year", "value": 1}, {"type": "lt", "key": "year", "value": 9}],
    }
    assert ANSWER not in asked(year)
    with pytest.raises(APIStatusError, match="Unknown filter type"):
        asked({"type": "like", "key": "year", "value": 1})
    assert ANSWER in asked({"type": "or", "filters": [{"type": "ne", "key": "year", "value": 1}, year]})


def test_the_asynchronous_client_and_langchain_work_as_they_are(service: Harbour) -> None:
    async def ask() -> str:
        async with AsyncOpenAI(base_url=f"{service.url}/v1", api_key=service.key) as client:
            made = await client.responses.create(model="leadline", input=KEEPER)
            return made.output_text

    assert asyncio.run(ask()) == ANSWER
    chat = ChatOpenAI(base_url=f"{service.url}/v1", api_key=SecretStr(service.key), model="leadline")
    said = [HumanMessage(KEEPER), AIMessage(ANSWER), HumanMessage(LAMP)]
    assert chat.invoke(said).text == "She lit it in 1871 [1]."
    assert "".join(chunk.text for chunk in chat.stream([HumanMessage(KEEPER)])) == ANSWER


def test_nothing_that_a_document_has_the_model_write_is_syntax_to_a_client(tmp_path: Path) -> None:
    model = Model()
    model.wrapped = "![x](https://e.org/?q=1) <img src=x> "
    with harbour(tmp_path, model) as service, OpenAI(base_url=f"{service.url}/v1", api_key=service.key) as client:
        expected = "！[x]（https：／/e.org/?q=1) ＜img src=x> " + ANSWER
        made = client.chat.completions.create(model="leadline", messages=[{"role": "user", "content": KEEPER}])
        assert made.choices[0].message.content == expected
        assert made.choices[0].message.annotations is not None
        cited = made.choices[0].message.annotations[0].url_citation
        assert expected[cited.start_index : cited.end_index] == "[1]"
        assert client.responses.create(model="leadline", input=KEEPER).output_text == expected


def test_a_conversation_is_gone_on_with_by_its_id(openai: OpenAI, service: Harbour) -> None:
    follow_up = "And when did she first light the lamp?"
    first = openai.responses.create(model="leadline", input=KEEPER)
    assert first.conversation is not None
    assert first.conversation.id == f"conv_{ours(first)['conversation']}"
    forms: list[Any] = [first.conversation.id, {"id": first.conversation.id}]
    for conversation in forms:
        made = openai.responses.create(model="leadline", input=follow_up, conversation=conversation)
        assert (made.output_text, made.conversation) == ("She lit it in 1871 [1].", first.conversation)
        assert openai.responses.retrieve(made.id).conversation == first.conversation
    stream = openai.responses.create(model="leadline", input=follow_up, conversation=forms[0], stream=True)
    named = [each.response.conversation for each in stream if hasattr(each, "response")]
    assert named == [first.conversation] * 3
    turns = service.client.get(f"/v1/conversations/{ours(first)['conversation']}")["turns"]
    assert len(turns) == 4
    with pytest.raises(NotFoundError, match="Conversation 'conv_nope' not found"):
        openai.responses.create(model="leadline", input=follow_up, conversation="conv_nope")
    with pytest.raises(BadRequestError, match="cannot be combined") as error:
        openai.responses.create(model="leadline", input=follow_up, conversation=forms[0], previous_response_id=first.id)
    assert error.value.param == "conversation"


def test_a_conversation_of_another_is_as_one_that_is_not_there(openai: OpenAI, service: Harbour) -> None:
    service.client.post("/v1/users", {"name": "eve"})
    key = service.client.post("/v1/keys", {"name": "eve", "scopes": ["read", "ask"], "user": "eve"})["key"]
    made = openai.responses.create(model="leadline", input=KEEPER)
    assert made.conversation is not None
    with OpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0) as eve:
        told = []
        for named in (made.conversation.id, "conv_nope"):
            with pytest.raises(NotFoundError) as error:
                eve.responses.create(model="leadline", input=LAMP, conversation=named)
            told.append(error.value.message.replace(named, "ID"))
    assert told[0] == told[1]


def test_a_response_that_is_not_stored_is_found_by_nobody(openai: OpenAI, service: Harbour) -> None:
    follow_up = "And when did she first light the lamp?"
    first = openai.responses.create(model="leadline", input=KEEPER)
    assert first.conversation is not None
    made = [
        openai.responses.create(model="leadline", input=KEEPER, store=False),
        openai.responses.create(model="leadline", input=follow_up, store=False, previous_response_id=first.id),
        openai.responses.create(model="leadline", input=follow_up, store=False, conversation=first.conversation.id),
    ]
    with openai.responses.stream(model="leadline", input=KEEPER, store=False) as stream:
        made.append(stream.until_done().get_final_response())
    assert [each.output_text for each in made[1:3]] == ["She lit it in 1871 [1]."] * 2
    for each in made:
        assert each.to_dict()["store"] is False
        with pytest.raises(NotFoundError, match=r"Response .* not found"):
            openai.responses.retrieve(each.id)
        with pytest.raises(NotFoundError, match=r"Response .* not found"):
            openai.responses.create(model="leadline", input=follow_up, previous_response_id=each.id)
        assert service.client.http.get(f"/v1/answers/{each.id.removeprefix('resp_')}").status_code == 404
    assert len(service.client.get(f"/v1/conversations/{ours(first)['conversation']}")["turns"]) == 1
    with pytest.raises(BadRequestError, match="must be stored"):
        openai.responses.create(model="leadline", input=KEEPER, store=False, background=True)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_file", "file_id": "file-nope"},
        {"type": "input_image", "image_url": "https://example.org/a.png"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"file_id": "file-nope"}},
        {"type": "input_audio", "input_audio": {"data": "", "format": "mp3"}},
    ],
    ids=lambda part: str(part["type"]),
)
def test_a_part_that_is_no_text_is_refused_by_name(openai: OpenAI, part: dict[str, Any]) -> None:
    for text in ("text", "input_text"):
        message: Any = {"role": "user", "content": [part, {"type": text, "text": KEEPER}]}
        with pytest.raises(BadRequestError, match="Upload the file first") as by_responses:
            openai.responses.create(model="leadline", input=[message])
        with pytest.raises(BadRequestError, match="Upload the file first") as by_chat:
            openai.chat.completions.create(model="leadline", messages=[message])
        for error in (by_responses, by_chat):
            assert f"`{part['type']}`" in error.value.message


def test_an_unknown_vector_store_is_not_found(openai: OpenAI) -> None:
    tool: Any = {"type": "file_search", "vector_store_ids": ["default", "vs_nope"]}
    with pytest.raises(NotFoundError, match="Vector store 'vs_nope' not found") as error:
        openai.responses.create(model="leadline", input=KEEPER, tools=[tool])
    assert error.value.code == "collection_not_found"
    with pytest.raises(NotFoundError, match="Collection 'vs_nope' not found"):
        openai.chat.completions.create(
            model="leadline", messages=[user(KEEPER)], extra_body={"leadline": {"collections": ["vs_nope"]}}
        )


@pytest.mark.parametrize("text", ["", "   ", "???"])
def test_an_empty_question_is_said_to_be_one(openai: OpenAI, text: str) -> None:
    asks = (
        lambda: openai.responses.create(model="leadline", input=text),
        lambda: openai.chat.completions.create(model="leadline", messages=[user(KEEPER), user(text)]),
    )
    for ask in asks:
        with pytest.raises(UnprocessableEntityError, match="The question is empty") as error:
            ask()
        assert error.value.code == "question_empty"


def test_no_messages_at_all_are_refused_in_words(openai: OpenAI) -> None:
    for ask in (
        lambda: openai.responses.create(model="leadline", input=[]),
        lambda: openai.chat.completions.create(model="leadline", messages=[]),
    ):
        with pytest.raises(BadRequestError, match="The request has no user message"):
            ask()


def test_what_openai_has_and_this_service_has_not_is_told_with_what_there_is_instead(openai: OpenAI) -> None:
    calls: dict[str, Callable[[], object]] = {
        "POST /v1/chat/completions": lambda: openai.completions.create(model="leadline", prompt="x"),
        "POST /v1/responses": lambda: openai.moderations.create(input="x"),
        "has no model of this kind": lambda: openai.images.generate(prompt="x"),
        "POST /v1/responses or": lambda: openai.audio.speech.create(input="x", model="leadline", voice="alloy"),
        "previous_response_id": lambda: openai.post("/threads", body={}, cast_to=object),
        "Assistants and threads are not supported": lambda: openai.get("/assistants", cast_to=object),
        "POST /v1/files accepts whole files": lambda: openai.uploads.create(
            bytes=1, filename="a.txt", mime_type="text/plain", purpose="assistants"
        ),
        "not requests as in OpenAI's API": lambda: openai.batches.create(
            completion_window="24h", endpoint="/v1/responses", input_file_id="file-x"
        ),
    }
    for expected, call in calls.items():
        with pytest.raises(APIStatusError) as error:
            call()
        assert expected in error.value.message
        assert error.value.code


def test_errors_name_the_member_and_end_their_sentences(openai: OpenAI) -> None:
    with pytest.raises(NotFoundError) as unknown:
        openai.chat.completions.create(model="gpt-5", messages=[user(KEEPER)])
    assert unknown.value.param == "model"
    with pytest.raises(UnprocessableEntityError, match=r"less than or equal to 1\. Correct the fields named in") as two:
        openai.chat.completions.create(model="leadline", messages=[user(KEEPER)], n=2)
    assert two.value.param == "n"


def test_a_model_is_the_same_whenever_it_is_asked_for(openai: OpenAI) -> None:
    listed = {each.id: each for each in openai.models.list()}
    assert {name: openai.models.retrieve(name) for name in listed} == listed
    assert all(each.created > 0 for each in listed.values())
