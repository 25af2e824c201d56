"""Suggested questions of a whole service over REST: what a model says is written down, all else is real."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client, NotFoundError, QuotaError, RefusedError
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account, Quota
from rlm.answers import AnswerStatus
from rlm.events import Completed
from rlm.llm.profiles import LOCAL_QWEN
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.support.portal_pages import WrittenAnswers, ready_document, written
from tests.support.service import running

ORDERS = "order,country,late\n1,Spain,yes\n2,France,no\n3,Spain,yes\n"
FIRST = [f"Question {number}?" for number in range(6)]
NEXT = ["What was the ship called?", "Which colour had the whale?", "Who saw it?"]


class SuggestingModel:
    """Suggests written questions, or fails. Its prompts are kept."""

    def __init__(self) -> None:
        self.fails = False
        self.chat = CallableChat(answer=self._answer)

    async def _answer(self, prompt: str) -> str:
        if self.fails:
            return "not JSON"
        return json.dumps({"questions": FIRST if "BEGIN documents" in prompt else NEXT})


@pytest.fixture
def model() -> SuggestingModel:
    return SuggestingModel()


@pytest.fixture
def service(tmp_path: Path, model: SuggestingModel) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path / "home", language_model=LoadedModel(model.chat)) as made:
        yield made


@pytest.fixture
def services(service: tuple[Services, Client]) -> Services:
    return service[0]


@pytest.fixture
def client(service: tuple[Services, Client]) -> Client:
    return service[1]


def answered(services: Services, client: Client, document: dict[str, Any], **changes: Any) -> str:  # noqa: ANN401
    """Ask a question whose answer is written down, and return the id of the stored answer."""
    text = client.http.get(f"/v1/documents/{document['id']}/content").text
    said = WrittenAnswers()
    said.events = [Completed(written(document, text, **changes))]
    services.asking = replace(services.asking, answering=said)
    made = client.answer("Which colour had the whale?")
    assert made.id is not None
    return made.id


def test_first_questions_are_about_cards_and_tables_and_cost_one_call_until_a_document_is_added(
    client: Client, model: SuggestingModel
) -> None:
    assert client.suggest_questions().questions == []
    whale = ready_document(client)
    ready_document(client, ORDERS, "orders.csv")
    assert client.suggest_questions(language="de").questions == FIRST[:4]
    (prompt,) = model.chat.prompts
    assert prompt.index("1. orders") < prompt.index("2. The Whale")
    assert "with the columns order; country; late" in prompt
    assert prompt.endswith("Language of the questions: de")
    assert client.suggest_questions(language="de").questions == FIRST[:4]
    assert len(model.chat.prompts) == 1
    client.suggest_questions(documents=[whale["id"]])
    assert "orders" not in model.chat.prompts[1]
    client.suggest_questions(filters={"$card": {"kind": "no such kind"}})
    assert len(model.chat.prompts) == 2
    ready_document(client, "# Harbour\n\nShips lie here.\n", "harbour.md")
    client.suggest_questions(language="de")
    assert "Harbour" in model.chat.prompts[2]
    with pytest.raises(NotFoundError):
        client.suggest_questions(collections=["nowhere"])


def test_next_questions_follow_from_the_answer_and_its_passages_and_repeat_no_question(
    services: Services, client: Client, model: SuggestingModel
) -> None:
    document = ready_document(client)
    identifier = answered(services, client, document)
    assert client.suggest_questions(identifier).questions == [NEXT[0], NEXT[2]]
    (prompt,) = model.chat.prompts
    assert "Question: Which colour had the whale?" in prompt
    assert "- The Whale: The whale was white." in prompt
    assert "Documents that it cites:\n- The Whale" in prompt
    client.suggest_questions(identifier)
    assert len(model.chat.prompts) == 1
    with pytest.raises(NotFoundError):
        client.suggest_questions("no-answer")
    with pytest.raises(RefusedError, match="only `answer`"):
        client.suggest_questions(identifier, documents=[document["id"]])
    unanswered = answered(services, client, document, status=AnswerStatus.NOT_FOUND)
    assert client.suggest_questions(unanswered).questions == []
    uncited = answered(services, client, document, citations=(), sentences=())
    assert client.suggest_questions(uncited).questions == []
    assert len(model.chat.prompts) == 1


def test_a_model_that_fails_suggests_nothing_and_is_paid_all_the_same(
    services: Services, client: Client, model: SuggestingModel
) -> None:
    ready_document(client)
    model.fails = True
    assert client.suggest_questions().questions == []
    (day,) = client.get("/v1/usage", limit=1)["usage"]
    assert (len(model.chat.prompts), day["calls"]) == (2, 2)
    model.fails = False
    assert client.suggest_questions().questions == FIRST[:4]
    (day,) = client.get("/v1/usage", limit=1)["usage"]
    assert (day["calls"], day["prompt_tokens"] > 0) == (3, True)


def test_suggestions_stop_at_the_quota_and_need_the_scope_that_spends(
    services: Services, client: Client, model: SuggestingModel
) -> None:
    ready_document(client)
    _, reader = services.keys.issue_key(DEFAULT_TENANT, "a reader", scopes=[Scope.READ])
    refused = client.http.post("/v1/suggestions", json={}, headers={"Authorization": f"Bearer {reader}"})
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    client.suggest_questions()
    services.admission.meter.quotas.set_limits(Account(DEFAULT_TENANT), {Quota.TOKENS_PER_DAY: 1})
    with pytest.raises(QuotaError):
        client.suggest_questions(language="de")
    assert len(model.chat.prompts) == 1


@pytest.mark.parametrize(("small", "suggestions"), [(True, True), (False, False)])
def test_a_small_model_and_a_service_without_suggestions_suggest_nothing(
    tmp_path: Path, model: SuggestingModel, small: bool, suggestions: bool
) -> None:
    language_model = LoadedModel(model.chat, LOCAL_QWEN) if small else LoadedModel(model.chat)
    with running(tmp_path / "home", language_model=language_model, suggestions=suggestions) as (services, client):
        identifier = answered(services, client, ready_document(client))
        assert client.suggest_questions().questions == []
        assert client.suggest_questions(identifier).questions == []
        assert model.chat.prompts == []
