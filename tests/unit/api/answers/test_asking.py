"""Questions over HTTP, alone and in conversations: what reaches the core, what is sent, and what is kept."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.answers.asking import select_recent_messages
from ingest.storage.errors import CatalogUnavailableError
from ingest.storage.queue.records import JobKind
from ingest.storage.remarks import Remark
from retrieval.search.requests import Passage
from rlm.answers import AnswerStatus, Check, Coverage, Result, ResultTable, Support
from rlm.errors import LanguageModelUnavailableError
from rlm.events import (
    Checking,
    Completed,
    Condensed,
    Delta,
    Drafted,
    Planned,
    Reading,
    Retrieved,
    Routed,
    Working,
)
from rlm.requests import MAX_QUESTION_CHARS, EarlierMessage, StrategyName
from tests.fakes.passages import passage
from tests.fakes.scripted_answers import SENTENCE, answer
from tests.support.asking import AskedApi, asked_api
from tests.support.catalogs import arrive
from tests.unit.api.feedback.test_feedback import of_user


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        yield api


def refused(api: AskedApi, body: dict[str, Any]) -> tuple[int, str]:
    found = api.http.post("/v1/answers", json=body)
    assert found.headers["content-type"] == "application/problem+json"
    return found.status_code, found.json()["code"]


def test_every_answer_has_an_id_under_which_it_can_be_read_again_and_deleted(api: AskedApi) -> None:
    given = api.ask()
    assert given["conversation"] is None
    assert [(each["check"], each["support"]) for each in given["sentences"]] == [("verified", "full")]
    path = f"/v1/answers/{given['id']}"
    assert api.get(path) == given
    assert api.http.get(path, headers=api.stranger).status_code == 404
    assert api.http.delete(path, headers=api.stranger).json()["code"] == "answer_not_found"
    assert api.http.delete(path).status_code == 204
    assert api.get(path, status=404)["code"] == "answer_not_found"


def test_an_answer_says_what_was_read_searched_and_not_opened_and_what_it_computed(api: AskedApi) -> None:
    table = ResultTable(("name", "ships"), (("Ann", 2),), 12, "SELECT 1", {"is_big": "whether it is big"})
    made = answer(coverage=Coverage(1000, 100, 300, 9, 1), result=Result("number", 7), table=table)
    api.answers.scripts = [[Completed(made)]]
    given = api.ask()
    coverage = given["coverage"]
    assert [coverage[f"tokens_{part}"] for part in ("in_scope", "read", "searched", "unopened")] == [
        1000,
        100,
        300,
        600,
    ]
    assert given["result"] == {"kind": "number", "value": 7, "interval": None}
    assert (given["table"]["rows"], given["table"]["total_rows"]) == ([["Ann", 2]], 12)
    assert api.get(f"/v1/answers/{given['id']}") == given


def test_events_are_sent_in_their_order_and_a_draft_is_not(api: AskedApi) -> None:
    found: tuple[Passage, ...] = (passage("white", title="The Whale"),)
    made = answer()
    span = {name: getattr(found[0], name) for name in ("document_id", "version_id", "start", "end", "page", "place")}
    api.answers.scripts = [
        [
            Condensed("Which colour had the whale?"),
            Routed("direct", Remark("route_not_in_tables", why="A passage says it.")),
            Retrieved(found, "whale"),
            Reading(1, found),
            Planned(("Count.",), "SELECT 1"),
            Working("classify", 1, 2),
            Delta(SENTENCE),
            Drafted(None),  # type: ignore[arg-type]
            Checking(1),
            Completed(made),
        ]
    ]
    events = api.events()
    why = {"why": "A passage says it."}
    said = "Direct: the tables cannot answer this. A passage says it."
    coded = {"code": "route_not_in_tables", "values": why, "text": said}
    assert events[:-1] == [
        ("condensed", {"question": "Which colour had the whale?"}),
        (
            "routed",
            {
                "strategy": "direct",
                "reason": coded["text"],
                "estimate": "",
                "coded_reason": coded,
                "coded_estimate": None,
            },
        ),
        (
            "retrieved",
            {"query": "whale", "passages": 1, "titles": ["The Whale"], "found": [{**span, "title": "The Whale"}]},
        ),
        ("reading", {"call": 1, "titles": ["The Whale"]}),
        ("planned", {"steps": ["Count."], "sql": "SELECT 1", "coded_steps": [None]}),
        ("working", {"step": "classify", "done": 1, "total": 2, "coded_step": None}),
        ("delta", {"text": SENTENCE}),
        ("checking", {"sentences": 1}),
    ]
    name, last = events[-1]
    assert (name, last["text"]) == ("completed", SENTENCE)
    assert api.get(f"/v1/answers/{last['id']}") == last


def test_a_follow_up_reaches_the_core_with_the_turns_before_it(api: AskedApi) -> None:
    first = api.ask("Which colour?", conversation="new", strategy="direct")
    second = api.ask("And its size?", conversation=first["conversation"])
    assert second["conversation"] == first["conversation"]
    before, after = api.answers.requests
    assert (before.history, before.wanted.strategy) == ((), StrategyName.DIRECT)
    assert (after.question, after.wanted.strategy) == ("And its size?", StrategyName.AUTO)
    assert after.history == (EarlierMessage("user", "Which colour?"), EarlierMessage("assistant", SENTENCE))


def test_a_follow_up_does_not_get_a_rejected_statement_as_a_fact(api: AskedApi) -> None:
    (sentence,) = answer().sentences
    rejected = replace(sentence, check=Check.UNSUPPORTED, support=Support.NONE)
    api.answers.scripts = [[Completed(answer(sentences=(rejected,)))]]
    first = api.ask("Which colour?", conversation="new")
    api.ask("And its size?", conversation=first["conversation"])
    assert api.answers.requests[-1].history[-1] == EarlierMessage("assistant", f"{SENTENCE} (not proven)")


def test_messages_are_a_conversation_that_the_caller_keeps(api: AskedApi) -> None:
    said = [("user", "Which colour?"), ("assistant", "White."), ("user", "Since when?")]
    body: dict[str, Any] = {
        "question": None,
        "messages": [{"role": role, "content": content} for role, content in said],
    }
    assert api.ask(**body)["conversation"] is None
    (request,) = api.answers.requests
    assert request.question == "Since when?"
    assert request.history == (EarlierMessage("user", "Which colour?"), EarlierMessage("assistant", "White."))
    assert api.get("/v1/conversations")["conversations"] == []


def test_of_a_long_conversation_the_model_sees_the_end(api: AskedApi) -> None:
    talk = api.ask("Question 0?", conversation="new")["conversation"]
    for number in range(1, 30):
        api.answers.scripts = [[Completed(answer(text="long " * 400))]]
        api.ask(f"Question {number}?", conversation=talk)
    history = api.answers.requests[-1].history
    assert sum(len(message.text) for message in history) <= 24_000
    assert (history[-2].text, history[-1].text) == ("Question 28?", "long " * 400)
    assert 10 < len(history) < 58


def test_two_hundred_messages_are_no_trouble_and_of_one_too_long_its_beginning_is_seen() -> None:
    many = [EarlierMessage("user", f"{number:03}" * 100) for number in range(200)]
    assert select_recent_messages(many) == tuple(many[-80:])
    assert select_recent_messages([*many, EarlierMessage("assistant", "x" * 30_000)]) == (
        EarlierMessage("assistant", "x" * 24_000),
    )
    assert select_recent_messages([]) == ()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "invalid_request"),
        ({"question": "Why?", "messages": [{"role": "user", "content": "Why?"}]}, "invalid_request"),
        ({"messages": [{"role": "assistant", "content": "Because."}]}, "invalid_request"),
        ({"messages": [{"role": "system", "content": "Obey."}]}, "invalid_request"),
        ({"messages": [{"role": "user", "content": "Why?"}], "conversation": "new"}, "invalid_request"),
        ({"question": "Why?", "conversation": ""}, "invalid_request"),
        ({"question": "Why?", "strategy": "exhaustive"}, "invalid_request"),
        ({"question": " ? "}, "question_empty"),
        ({"messages": [{"role": "user", "content": "…"}]}, "question_empty"),
        ({"question": "why" * MAX_QUESTION_CHARS}, "question_too_long"),
    ],
)
def test_what_is_no_question_is_refused_before_anything_is_asked(
    api: AskedApi, body: dict[str, Any], code: str
) -> None:
    assert refused(api, body) == (422, code)
    assert api.answers.requests == []


def test_a_conversation_that_is_not_the_callers_is_none(api: AskedApi) -> None:
    talk = api.ask(conversation="new")["conversation"]
    body = {"question": "And?", "conversation": talk}
    assert api.http.post("/v1/answers", json=body, headers=api.stranger).json()["code"] == "conversation_not_found"
    path = f"/v1/conversations/{talk}"
    assert api.http.get(path, headers=api.stranger).status_code == 404
    assert api.http.delete(path, headers=api.stranger).status_code == 404
    assert len(api.get(path)["turns"]) == 1


def test_a_question_that_failed_is_no_turn(api: AskedApi) -> None:
    api.answers.scripts = [LanguageModelUnavailableError("It is loading.")]
    assert refused(api, {"question": "Which colour?", "conversation": "new"}) == (503, "language_model_unavailable")
    assert api.get("/v1/conversations")["conversations"] == []


def test_conversations_are_listed_and_shown_a_page_at_a_time_and_deleted(api: AskedApi) -> None:
    talks = [api.ask(f"Question {number}?", conversation="new")["conversation"] for number in range(3)]
    for number in range(4):
        api.ask(f"More {number}?", conversation=talks[0])
    page = api.get("/v1/conversations", limit=2)
    assert [each["title"] for each in page["conversations"]] == ["Question 2?", "Question 1?"]
    page = api.get("/v1/conversations", limit=2, cursor=page["next_cursor"])
    assert ([each["answered"] for each in page["conversations"]], page["next_cursor"]) == ([5], None)
    path = f"/v1/conversations/{talks[0]}"
    first = api.get(path, limit=3)
    rest = api.get(path, limit=3, cursor=first["next_cursor"])
    turns = [*first["turns"], *rest["turns"]]
    assert [each["question"] for each in turns] == ["Question 0?", *(f"More {number}?" for number in range(4))]
    assert turns[0]["answer"] == api.get(f"/v1/answers/{turns[0]['answer']['id']}")
    assert rest["next_cursor"] is None
    assert api.http.delete(path).status_code == 204
    assert api.get(path, status=404)["code"] == "conversation_not_found"
    assert api.get(f"/v1/answers/{turns[0]['answer']['id']}", status=404)["code"] == "answer_not_found"


def test_an_admin_lists_all_conversations_with_who_started_each_or_only_their_own(api: AskedApi) -> None:
    own = api.ask("White whales?", conversation="new")["conversation"]
    eve = of_user(api, "eve")
    body = {"question": "Black whales?", "conversation": "new"}
    other = api.http.post("/v1/answers", json=body, headers=eve).json()["conversation"]
    by = api.get(f"/v1/conversations/{own}")["by"]

    def listed(**query: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - parameters
        return [(each["id"], each["by"]) for each in api.get("/v1/conversations", **query)["conversations"]]

    assert by.startswith("key:")
    assert listed() == listed(search="whales") == [(other, "user:eve"), (own, by)]
    assert listed(mine=True) == listed(search="whales", mine=True) == [(own, by)]
    for mine in (True, False):
        found = api.http.get("/v1/conversations", params={"mine": mine}, headers=eve).json()["conversations"]
        assert [each["id"] for each in found] == [other]


def test_nothing_of_a_deleted_document_is_quoted_again(api: AskedApi) -> None:
    document = arrive(api.services.documents.catalog).id
    made = answer(document, table=ResultTable(("a",), (("white",),), 1, "SELECT 1"), result=Result("text", "white"))
    api.answers.scripts = [[Completed(made)]]
    given = api.ask(conversation="new")
    api.services.documents.catalog.delete_document("ann", document)
    found = api.get(f"/v1/answers/{given['id']}")
    (citation,) = found["citations"]
    assert (citation["quote"], citation["quotes"], citation["title"], citation["deleted"]) == ("", [], "", True)
    assert found["sentences"][0]["quotes"] == []
    assert found["searched"]["documents"][0]["title"] == ""
    assert (found["table"], found["result"]) == (None, None)
    (turn,) = api.get(f"/v1/conversations/{given['conversation']}")["turns"]
    assert turn["answer"] == found


def test_an_answer_that_cannot_be_kept_is_sent_all_the_same(api: AskedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise CatalogUnavailableError("The catalog is away.")

    monkeypatch.setattr(api.services.answers.conversations, "store_answer", away)
    given = api.ask()
    assert (given["id"], given["text"]) == (None, SENTENCE)
    assert any("could not be saved" in note for note in given["notes"])


def test_a_background_question_waits_with_its_history_and_needs_no_model_to_be_accepted(api: AskedApi) -> None:
    talk = api.ask("Which colour?", conversation="new")["conversation"]
    run = api.ask("And its size?", conversation=talk, background=True, status=202)
    assert (run["conversation"], run["history"], run["budget"]) == (talk, 2, {"calls": 500, "seconds": 900.0})
    kept = api.services.answers.runs.load_run("ann", run["id"])
    assert kept.history[1] == {"role": "assistant", "text": SENTENCE}
    assert [job.version_id for job in api.services.jobs.claim(JobKind.RUN)] == [run["id"]]
    assert len(api.answers.requests) == 1


def test_the_same_key_is_the_same_run_though_its_conversation_is_new(api: AskedApi) -> None:
    body = {"question": "Why?", "conversation": "new", "background": True}
    asked = [api.http.post("/v1/answers", json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [each.status_code for each in asked] == [202, 202]
    assert asked[0].json() == asked[1].json()
    other = api.http.post("/v1/answers", json={**body, "conversation": None}, headers={"Idempotency-Key": "k"})
    assert other.json()["code"] == "idempotency_key_reused"


@pytest.mark.parametrize(
    ("costs", "how", "dollars"),
    [(True, {}, "1"), (True, {"confirm": True}, None), (False, {}, None), (True, {"budget": {"calls": 3}}, None)],
)
def test_a_run_without_a_budget_spends_a_dollar_at_most_unless_that_was_confirmed(
    tmp_path: Path, costs: bool, how: dict[str, Any], dollars: str | None
) -> None:
    with asked_api(tmp_path, model_costs=costs) as api:
        run = api.ask(background=True, status=202, **how)
    assert run["budget"].get("dollars") == dollars
    assert run["budget"]["calls"] == (3 if "budget" in how else 500)


def test_an_answer_is_not_found_only_when_the_model_says_so(api: AskedApi) -> None:
    made = answer(text="The documents do not say it.", status=AnswerStatus.NOT_FOUND, sentences=(), citations=())
    api.answers.scripts = [[Completed(made)]]
    assert api.ask()["status"] == "not_found"


def test_a_question_to_one_collection_is_answered_by_its_default_unless_it_names_a_strategy(api: AskedApi) -> None:
    made = api.http.post("/v1/collections", json={"name": "reports", "default_strategy": "table"})
    assert made.status_code == 201
    assert api.http.post("/v1/collections", json={"name": "other"}).status_code == 201
    chat = {"messages": [{"role": "user", "content": "Why?"}]}
    for body, expected in (
        ({"collections": ["reports"]}, StrategyName.TABLE),
        ({"collections": ["reports"], "strategy": "auto"}, StrategyName.AUTO),
        ({"collections": ["reports", "other"]}, StrategyName.AUTO),
        ({}, StrategyName.AUTO),
    ):
        api.ask(**body)
        assert api.answers.requests[-1].wanted.strategy == expected
    for model, expected in (("leadline/reports", StrategyName.TABLE), ("leadline/reports:direct", StrategyName.DIRECT)):
        api.http.post("/v1/chat/completions", json={**chat, "model": model}).raise_for_status()
        assert api.answers.requests[-1].wanted.strategy == expected
