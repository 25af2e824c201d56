"""Whole answers over HTTP with a scripted model server: facts, follow-ups and counts, streamed, with what they cite."""

from collections.abc import Iterator
from typing import Any

import pytest

from api.client import Client
from tests.support.cluster import wait_until
from tests.support.events import streamed_answer
from tests.support.harbour import COUNT, KEEPER, LAMP, PLAN, Model, harbour


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Client]:
    """A client on a TCP port of a service with both documents."""
    with harbour(tmp_path_factory.mktemp("home"), model) as made:
        yield made.client


def streamed(client: Client, question: str, **more: object) -> tuple[list[str], dict[str, Any]]:
    """The names of the events, and the answer, whose text is what was streamed and whose citations are located."""
    events = streamed_answer(client, question=question, **more)
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
    assert (
        [row["place"] for row in page["rows"]]
        == [cited["place"] for cited in answer["citations"]]
        == ["row 2", "row 4"]
    )


def test_a_count_in_the_background_is_the_same_count(client: Client) -> None:
    run = client.post("/v1/answers", {"question": COUNT, "background": True})["id"]
    wait_until(lambda: bool(client.get(f"/v1/runs/{run}")["ended_at"]), what="the run has ended")
    ended = client.get(f"/v1/runs/{run}")
    assert (ended["state"], ended["answer"]["text"]) == ("completed", "2 of the 4 orders came late [1][2].")
    assert client.get(f"/v1/answers/{run}/rows")["total"] == 2
