"""Suggested questions show nobody what is in a document that they may not read, or no longer may."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.admission.services import Services
from rlm.events import Completed
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.support.cluster import wait_until
from tests.support.people import People, asked_by_people
from tests.support.portal_pages import WrittenAnswers, written
from tests.support.service import running

OPEN = "# The Whale\n\nThe whale was white. hips were many.\n"
CLOSED = "# Salaries of the Board\n\nThe whale was white. hips were many.\n"


class World:
    """An open document and one for the group `hr`, and a model that asks about each document that it is shown."""

    def __init__(self, services: Services, http: TestClient, people: People) -> None:
        self.services, self.http, self.people = services, http, people
        self.prompts: list[str] = []
        self.open = self.add("whale.md", OPEN)
        self.closed = self.add("salaries.md", CLOSED, readers=["group:hr"])

    async def reply(self, prompt: str) -> str:
        self.prompts.append(prompt)
        named = re.findall(r"The Whale|Salaries of the Board", prompt)
        return json.dumps({"questions": [f"What about {each}?" for each in named]})

    def add(self, name: str, text: str, **params: list[str]) -> str:
        made = self.http.post(
            "/v1/documents", params={"name": name, **params}, content=text, headers=self.people.of("admin")
        )
        identifier: str = made.json()["id"]
        path, headers = f"/v1/documents/{identifier}", self.people.of("admin")
        wait_until(lambda: self.http.get(path, headers=headers).json()["state"] == "ready", what="it is ready")
        return identifier

    def suggest(self, person: str, **body: object) -> list[str]:
        response = self.http.post("/v1/suggestions", json=body, headers=self.people.of(person))
        assert response.status_code == 200, response.text
        found: list[str] = response.json()["questions"]
        return found

    def answer(self, person: str, document: str) -> str:
        """Have a person ask something that is answered from a document. Returns the id of the answer."""
        path, headers = f"/v1/documents/{document}", self.people.of("admin")
        found = self.http.get(path, headers=headers).json()
        said = WrittenAnswers()
        text = self.http.get(f"{path}/content", headers=headers).text
        said.events = [Completed(written(found, text))]
        self.services.asking = replace(self.services.asking, answering=said)
        asked = self.http.post("/v1/answers", json={"question": "Who?"}, headers=self.people.of(person))
        identifier: str = asked.json()["id"]
        return identifier

    def close_to(self, document: str, *readers: str) -> None:
        headers = self.people.of("admin", **{"If-Match": "*"})
        changed = self.http.patch(f"/v1/documents/{document}", json={"readers": readers}, headers=headers)
        assert changed.status_code == 200, changed.text


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made: list[World] = []
    chat = CallableChat(answer=lambda prompt: made[0].reply(prompt))
    with (
        running(tmp_path / "home", language_model=LoadedModel(chat)) as (services, _),
        asked_by_people(services) as (http, people),
    ):
        made.append(World(services, http, people))
        yield made[0]


BOTH = ["What about Salaries of the Board?", "What about The Whale?"]


def test_first_questions_are_about_documents_that_the_caller_may_read_now(world: World) -> None:
    assert world.suggest("eve") == BOTH
    assert world.suggest("bob") == BOTH[1:]
    assert world.suggest("bob", documents=[world.closed]) == []
    world.close_to(world.closed, "user:bob")
    assert world.suggest("eve") == BOTH[1:]
    assert world.suggest("bob") == BOTH
    headers = world.people.of("admin", **{"If-Match": "*"})
    assert world.http.delete(f"/v1/documents/{world.closed}", headers=headers).status_code == 200
    assert world.suggest("bob") == BOTH[1:]


def test_persons_with_other_rights_share_no_suggestion_even_about_the_same_documents(world: World) -> None:
    for person in ("eve", "bob", "eve", "bob"):
        assert world.suggest(person, documents=[world.open]) == BOTH[1:]
    first, second = world.prompts
    assert first == second


def test_no_question_leads_on_from_an_answer_whose_source_was_closed_or_deleted(world: World) -> None:
    identifier = world.answer("eve", world.closed)
    assert world.suggest("eve", answer=identifier) != []
    others = world.http.post("/v1/suggestions", json={"answer": identifier}, headers=world.people.of("bob"))
    assert others.status_code == 404
    world.close_to(world.closed, "user:bob")
    count = len(world.prompts)
    assert world.suggest("eve", answer=identifier) == []
    assert len(world.prompts) == count
    world.close_to(world.closed, "group:hr")
    assert world.suggest("eve", answer=identifier) != []
    headers = world.people.of("admin", **{"If-Match": "*"})
    world.http.delete(f"/v1/documents/{world.closed}", headers=headers)
    gone = world.http.post("/v1/suggestions", json={"answer": identifier}, headers=world.people.of("eve"))
    assert gone.json().get("questions", []) == []
