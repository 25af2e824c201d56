"""What every chat model must do: the real small model and a scripted server run the same suite."""

import json
from collections.abc import Iterator

import pytest

from rlm.errors import ContextTooLongError
from rlm.llm.chat_models import build_local_chat_model, build_remote_chat_model
from rlm.llm.local.process import LocalModelProcess
from rlm.llm.profiles import LOCAL_QWEN
from tests.support.chats import AskedChat
from tests.support.scripted_openai import scripted_openai

COUNT = "Count from 1 to 9, with commas, and say nothing else."
SCHEMA = {
    "name": "animal",
    "strict": True,
    "schema": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "kind": {"enum": ["mammal", "bird", "fish"]},
            "legs": {"type": "integer", "minimum": 0, "maximum": 8},
        },
        "required": ["name", "kind", "legs"],
        "additionalProperties": False,
    },
}


# The fixture asks for the local model by name, which the suite does not see.
pytestmark = pytest.mark.xdist_group("language-model")


@pytest.fixture(params=[pytest.param("local", marks=pytest.mark.slow), "scripted"])
def model(request: pytest.FixtureRequest) -> Iterator[AskedChat]:
    if request.param == "local":
        process: LocalModelProcess = request.getfixturevalue("local_model")
        local = AskedChat(build_local_chat_model(process.socket, LOCAL_QWEN))
        yield local
        local.close()
    else:
        with scripted_openai() as server:
            remote = AskedChat(build_remote_chat_model(server.url, LOCAL_QWEN))
            yield remote
            remote.close()


def test_an_answer_comes_with_its_tokens_counted(model: AskedChat) -> None:
    answer = model.invoke(COUNT)
    assert [word.strip(" .\n") for word in answer.text.split(",")][:3] == ["1", "2", "3"]
    assert answer.usage_metadata
    assert answer.usage_metadata["input_tokens"] > 5
    assert answer.usage_metadata["output_tokens"] > 5
    assert answer.response_metadata["finish_reason"] == "stop"


def test_the_pieces_of_a_stream_are_the_answer(model: AskedChat) -> None:
    pieces = model.stream(COUNT)
    assert len([piece for piece in pieces if piece.text]) > 3
    assert "".join(piece.text for piece in pieces) == model.invoke(COUNT).text
    counted = [piece.usage_metadata for piece in pieces if piece.usage_metadata]
    assert counted[-1]["output_tokens"] > 5


def test_a_schema_is_obeyed(model: AskedChat) -> None:
    wanted = {"type": "json_schema", "json_schema": SCHEMA}
    animal = json.loads(model.invoke("Describe a sparrow.", response_format=wanted, max_tokens=100).text)
    assert set(animal) == {"name", "kind", "legs"}
    assert animal["kind"] in ("mammal", "bird", "fish")
    assert isinstance(animal["legs"], int)


def test_the_limit_of_tokens_is_kept_and_said(model: AskedChat) -> None:
    answer = model.invoke(COUNT, max_tokens=4)
    assert answer.response_metadata["finish_reason"] == "length"
    assert 0 < len(answer.text) < 12


def test_a_prompt_past_the_window_is_refused_and_not_cut(model: AskedChat) -> None:
    with pytest.raises(ContextTooLongError):
        model.invoke("word " * 9000)


def test_the_same_question_gets_the_same_answer(model: AskedChat) -> None:
    question = "Name a sea animal in one word."
    assert model.invoke(question).text == model.invoke(question).text


def test_a_stream_given_up_leaves_the_model_usable(model: AskedChat) -> None:
    for _ in range(6):
        assert len(model.stream("Write a long story about a ship.", most_pieces=1)) == 1
    assert "1" in model.invoke(COUNT).text
