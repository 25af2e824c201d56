"""Whole answers over HTTP with a scripted model server: facts, follow-ups and counts, streamed, with what they cite."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.cli.client import Client
from api.language_model import RemoteLanguageModel
from rlm.llm.chat_models import remote_chat_model
from rlm.llm.port import ChatModel, SubCall, SubReply
from rlm.llm.profiles import ModelProfile
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.cluster import wait_until
from tests.support.scripted_openai import scripted_openai, wanted_members
from tests.support.service import listening, running

HARBOUR = b"# Harbour\n\nThe keeper of the lighthouse was Ada Brandt. She lit the lamp for the first time in 1871.\n"
ORDERS = b"""id,customer,note
1,Ann,"The parcel came two weeks late."
2,Bob,"Lovely lamp, thank you."
3,Ann,"Late again, and nobody says why."
4,Cy,"Please send an invoice."
"""
KEEPER, LAMP = "Who kept the lighthouse?", "When did Ada Brandt first light the lamp?"
COUNT = "How many orders came late?"
PLAN = {
    "semantic_columns": [
        {
            "table": "orders",
            "name": "is_late",
            "instruction": "Does the note complain about lateness?",
            "type": "boolean",
            "labels": [],
            "where": "",
        }
    ],
    "sql": "SELECT count(*) FILTER (WHERE is_late) AS late, count(*) AS orders FROM orders",
    "rows_sql": "SELECT _row FROM orders WHERE is_late",
    "answer": "{late} of the {orders} orders came late.",
}


class Model:
    """A model that makes no mistake; it knows what it is asked by the members of the JSON that it is to reply with.

    `support` is its verdict as the judge of a sentence.
    """

    def __init__(self) -> None:
        self.support = "supported"

    def __call__(self, request: dict[str, Any]) -> str:
        members = wanted_members(request)
        prompt = str(request["messages"][-1]["content"])
        if "question" in members:
            return json.dumps({"question": LAMP})
        if "strategy" in members:
            strategy = "table" if COUNT in prompt else "direct"
            return json.dumps({"why": "It fits.", "strategy": strategy, "queries": []})
        if "verdicts" in members:
            return json.dumps({"verdicts": [{"sentence": 1, "support": self.support, "reason": "Read."}]})
        if "sql" in members:
            return json.dumps(PLAN)
        return _labelled(prompt) if members else _written(prompt)


def _labelled(prompt: str) -> str:
    """Yes or no for each record."""
    (reply,) = RuleSubCalls(lambda text: "yes" if "late" in text.casefold() else "no").run([SubCall("", prompt, 100)])
    assert isinstance(reply, SubReply)
    return reply.text


def _written(prompt: str) -> str:
    """An answer from the passage about the lighthouse, with a quotation."""
    number = re.findall(r"^BEGIN passage (\d+)", prompt[: prompt.index("Ada Brandt")], re.MULTILINE)[-1]
    if LAMP in prompt:
        text, quote = "She lit it in 1871", "lit the lamp for the first time in 1871"
    else:
        text, quote = "Ada Brandt kept it", "keeper of the lighthouse was Ada Brandt"
    return f'{text} [{number}].\n<support answered="yes">\n[{number}] "{quote}"\n</support>'


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Client]:
    """A client on a TCP port of a service with both documents."""
    profile = ModelProfile("scripted", 32_000, 4_000)
    with scripted_openai(model, window_tokens=32_000) as server:
        language_model = RemoteLanguageModel(server.url, ChatModel(remote_chat_model(server.url, profile), profile))
        with (
            running(tmp_path_factory.mktemp("home"), language_model=language_model) as (services, _),
            listening(services) as (url, key),
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http,
        ):
            for name, content in (("harbour.md", HARBOUR), ("orders.csv", ORDERS)):
                http.post("/v1/documents", params={"name": name}, content=content).raise_for_status()
            made = Client(http)
            wait_until(lambda: made.get("/v1/status")["documents"] == {"ready": 2}, seconds=60, what="both are ready")
            yield made


def streamed(client: Client, question: str, **more: object) -> tuple[list[str], dict[str, Any]]:
    """The names of the events, and the answer, whose text is what was streamed and whose citations are located."""
    events = list(client.events("/v1/answers", {"question": question, "stream": True, **more}))
    name, answer = events[-1]
    assert name == "completed", answer
    assert "".join(data["text"] for name, data in events if name == "delta") == answer["text"]
    assert answer["citations"]
    for cited in answer["citations"]:
        span = {"start": cited["start"], "end": cited["end"]}
        assert client.http.get(f"/v1/documents/{cited['document_id']}/content", params=span).text == cited["quote"]
        assert f"[{cited['number']}]" in answer["text"]
    return [name for name, _ in events], answer


def test_a_fact_is_answered_in_a_sentence_that_a_judge_found_in_what_it_cites(client: Client) -> None:
    names, answer = streamed(client, KEEPER)
    assert list(dict.fromkeys(names)) == ["routed", "reading", "delta", "checking", "completed"]
    assert (answer["status"], answer["strategy"], answer["text"]) == ("answered", "direct", "Ada Brandt kept it [1].")
    (cited,) = answer["citations"]
    assert (cited["title"], cited["quote"]) == ("Harbour", "keeper of the lighthouse was Ada Brandt")
    assert cited["verified"]
    assert [each["check"] for each in answer["sentences"]] == ["verified"]
    assert client.get(f"/v1/answers/{answer['id']}") == answer


def test_a_judge_marks_a_sentence_and_takes_nothing_from_the_answer(client: Client, model: Model) -> None:
    model.support = "not_supported"
    _, answer = streamed(client, f"{KEEPER} Say it again.")
    model.support = "supported"
    assert (answer["status"], answer["text"]) == ("answered", "Ada Brandt kept it [1].")
    assert [(each["check"], each["reason"]) for each in answer["sentences"]] == [("unsupported", "Read.")]


def test_a_follow_up_is_answered_as_a_question_that_stands_alone_and_stays_in_its_conversation(client: Client) -> None:
    _, first = streamed(client, KEEPER, conversation="new")
    names, second = streamed(client, "And when did she first light it?", conversation=first["conversation"])
    assert names[0] == "condensed"
    assert (second["question"], second["text"]) == (LAMP, "She lit it in 1871 [1].")
    assert second["citations"][0]["quote"] == "lit the lamp for the first time in 1871"
    kept = client.get(f"/v1/conversations/{first['conversation']}")
    assert [turn["question"] for turn in kept["turns"]] == [KEEPER, "And when did she first light it?"]
    assert [turn["answer"] for turn in kept["turns"]] == [first, second]


def test_a_count_over_a_table_is_computed_and_all_rows_behind_it_can_be_read(client: Client) -> None:
    names, answer = streamed(client, COUNT)
    assert list(dict.fromkeys(names)) == ["routed", "planned", "working", "delta", "completed"]
    assert (answer["status"], answer["strategy"]) == ("answered", "table")
    assert answer["text"] == "2 of the 4 orders came late [1][2]."
    assert [each["check"] for each in answer["sentences"]] == ["computed"]
    assert answer["table"]["rows"] == [[2, 4]]
    assert answer["table"]["sql"] == PLAN["sql"]
    page = client.get(f"/v1/answers/{answer['id']}/rows")
    assert (page["total"], answer["rows_behind_total"]) == (2, 2)
    assert [row["row"] for row in page["rows"]] == [1, 3]
    assert [row["text"] for row in page["rows"]] == [cited["quote"] for cited in answer["citations"]]


def test_a_count_in_the_background_is_the_same_count(client: Client) -> None:
    run = client.post("/v1/answers", {"question": COUNT, "background": True})["id"]
    wait_until(lambda: bool(client.get(f"/v1/runs/{run}")["ended_at"]), seconds=60, what="the run has ended")
    ended = client.get(f"/v1/runs/{run}")
    assert (ended["state"], ended["answer"]["text"]) == ("completed", "2 of the 4 orders came late [1][2].")
    assert client.get(f"/v1/answers/{run}/rows")["total"] == 2
