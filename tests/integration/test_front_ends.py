"""Chat programs such as Open WebUI against a running service, by OpenAI's client: labels, and texts in a message."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from ingest.storage.quotas.records import Account, Quota
from tests.support.harbour import KEEPER, Harbour, Model, harbour
from tests.support.scripted_openai import wanted_members

CHAT = f"USER: {KEEPER}\nASSISTANT: Ada Brandt kept it [1]."
LABELS = {
    "title": ["Keeper of the lighthouse"],
    "tags": ["Ships", "Lamps"],
    "next_messages": ["When was it lit?"],
    "queries": ["lighthouse keeper"],
}


class LabellingModel(Model):
    """Writes labels too, and keeps the members that it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[set[str]] = []
        self.prompts: list[str] = []

    def __call__(self, request: dict[str, Any]) -> str:
        members = set(wanted_members(request))
        self.asked.append(members)
        self.prompts.append(str(request["messages"][-1]["content"]))
        for name, found in LABELS.items():
            if members == {name}:
                return json.dumps({name: found})
        return super().__call__(request)


MODEL = LabellingModel()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), MODEL) as made:
        yield made


@pytest.fixture
def openai(service: Harbour) -> Iterator[OpenAI]:
    MODEL.asked.clear()
    MODEL.prompts.clear()
    with OpenAI(base_url=f"{service.url}/v1", api_key=service.key, max_retries=0) as client:
        yield client


def ask(openai: OpenAI, text: str) -> Any:  # noqa: ANN401 - the client's types are wide
    return openai.chat.completions.create(model="leadline", messages=[{"role": "user", "content": text}])


def label(openai: OpenAI, example: str, chat: str = CHAT) -> Any:  # noqa: ANN401 - JSON
    made = ask(openai, f"JSON: {example}\n<chat_history>\n{chat}\n</chat_history>")
    return json.loads(made.choices[0].message.content)


def test_labels_of_a_conversation_take_one_call_each_and_are_not_stored(openai: OpenAI, service: Harbour) -> None:
    before = service.client.get("/v1/conversations")
    assert label(openai, '{"title": "x"}') == {"title": "Keeper of the lighthouse"}
    assert label(openai, '{"tags": ["x"]}') == {"tags": ["Ships", "Lamps"]}
    assert label(openai, '{"follow_ups": ["x"]}') == {"follow_ups": ["When was it lit?"]}
    assert label(openai, '{"queries": []}') == {"queries": ["lighthouse keeper"]}
    assert MODEL.asked == [{"title"}, {"tags"}, {"next_messages"}, {"queries"}]
    assert all(KEEPER in prompt for prompt in MODEL.prompts)
    assert service.client.get("/v1/conversations") == before


def test_labels_count_against_quotas(openai: OpenAI, service: Harbour) -> None:
    quotas = service.services.admission.meter.quotas
    account = Account("default")
    quotas.set_limits(account, {Quota.TOKENS_PER_DAY: 1})
    try:
        with pytest.raises(APIStatusError) as refused:
            label(openai, '{"title": "x"}', "USER: Another question?")
    finally:
        quotas.set_limits(account, {Quota.TOKENS_PER_DAY: None})
    assert refused.value.status_code == 429
    assert MODEL.asked == []


def test_a_service_without_suggestions_labels_without_a_call(tmp_path: Path) -> None:
    model = LabellingModel()
    with (
        harbour(tmp_path / "home", model, suggestions=False) as made,
        OpenAI(base_url=f"{made.url}/v1", api_key=made.key, max_retries=0) as client,
    ):
        assert label(client, '{"title": "x"}') == {"title": KEEPER}
        assert label(client, '{"tags": ["x"]}') == {"tags": []}
        assert model.asked == []


def test_a_question_below_long_attached_texts_is_answered_and_they_are_its_history(openai: OpenAI) -> None:
    sources = f'<source id="1" name="notes.txt">A lamp was lit. {"Long. " * 2_000}</source>'
    made = ask(openai, f"Use the sources.\n<context>\n{sources}\n</context>\n\n{KEEPER}")
    assert made.choices[0].finish_reason == "stop"
    (condense,) = [
        prompt for members, prompt in zip(MODEL.asked, MODEL.prompts, strict=True) if members == {"question"}
    ]
    assert "A lamp was lit." in condense
    assert f"Last message: {KEEPER}" in condense
    with pytest.raises(APIStatusError) as refused:
        ask(openai, f"{sources}\n{KEEPER}")
    assert refused.value.code == "question_too_long"
