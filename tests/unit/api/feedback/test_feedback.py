"""Feedback on answers over HTTP: who says what, where it goes, and what admins see of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ingest.storage.accounts.records import Scope
from ingest.storage.answers.feedback_records import Rating, Verdict
from tests.support.asking import AskedApi, asked_api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        yield api


def of_user(api: AskedApi, name: str) -> Mapping[str, str]:
    api.services.accounts.users.create("ann", name)
    scopes = (Scope.READ, Scope.ASK)
    return {"Authorization": f"Bearer {api.services.keys.issue_key('ann', name, scopes=scopes, user=name)[1]}"}


def say(api: AskedApi, answer: str, *, status: int = 200, headers: Any = None, **said: Any) -> Any:  # noqa: ANN401
    found = api.http.post(f"/v1/answers/{answer}/feedback", json={"rating": "down", **said}, headers=headers)
    assert found.status_code == status, found.text
    return found.json()


def test_an_answer_has_one_feedback_of_each_author_which_can_be_changed_and_taken_back(api: AskedApi) -> None:
    answer = api.ask()["id"]
    first = say(api, answer, comment=" Not white. ", sentences=[1], citations=[1, 1])
    assert (first["comment"], first["sentences"], first["citations"]) == ("Not white.", [1], [1])
    changed = say(api, answer, rating="up")
    assert (changed["id"], changed["rating"], changed["comment"], changed["sentences"]) == (first["id"], "up", "", [])
    path = f"/v1/answers/{answer}/feedback"
    assert api.get(path)["feedback"] == [changed]
    assert api.http.delete(path).status_code == 204
    assert api.http.delete(path).json()["code"] == "feedback_not_found"
    assert api.get(path)["feedback"] == []


@pytest.mark.parametrize("said", [{"sentences": [2]}, {"sentences": [0]}, {"citations": [9]}])
def test_feedback_names_what_the_answer_has(api: AskedApi, said: dict[str, Any]) -> None:
    answer = api.ask()["id"]
    assert say(api, answer, status=422, **said)["code"] == "feedback_invalid"
    assert api.get(f"/v1/answers/{answer}/feedback")["feedback"] == []


def test_feedback_is_given_by_who_may_read_the_answer(api: AskedApi) -> None:
    answer = api.ask()["id"]
    for other in (api.stranger, of_user(api, "eve")):
        assert say(api, answer, status=404, headers=other)["code"] == "answer_not_found"
        assert api.http.get(f"/v1/answers/{answer}/feedback", headers=other).status_code == 404


def test_an_admin_lists_the_tenants_feedback_by_page_and_filter_and_nobody_else_does(api: AskedApi) -> None:
    eve = of_user(api, "eve")
    asked = [api.http.post("/v1/answers", json={"question": f"{n}?"}, headers=eve).json()["id"] for n in range(3)]
    for number, answer in enumerate(asked):
        say(api, answer, headers=eve, rating="down" if number else "up", comment="No." if number == 1 else "")
    first = api.get("/v1/feedback", limit=2)
    rest = api.get("/v1/feedback", limit=2, cursor=first["next_cursor"])
    listed = [*first["feedback"], *rest["feedback"]]
    assert [each["question"] for each in listed] == ["2?", "1?", "0?"]
    assert rest["next_cursor"] is None
    assert (listed[0]["author"], listed[0]["strategy"], listed[0]["model"]) == ("user:eve", "direct", "a model")
    filters: list[dict[str, Any]] = [
        {"rating": "down"},
        {"answer": asked[0]},
        {"author": "user:eve", "commented": True},
        {"until": "2000-01-01T00:00:00Z"},
        {"since": "2999-01-01T00:00:00Z"},
    ]
    found = [[each["question"] for each in api.get("/v1/feedback", **each)["feedback"]] for each in filters]
    assert found[:3] == [["2?", "1?"], ["0?"], ["1?"]]
    assert found[3] == []
    assert found[4] == []
    assert api.http.get("/v1/feedback", headers=eve).status_code == 403
    assert api.http.get("/v1/feedback", headers=api.stranger).json()["feedback"] == []


def test_feedback_goes_with_its_answer(api: AskedApi) -> None:
    given = api.ask(conversation="new")
    say(api, given["id"])
    api.http.delete(f"/v1/conversations/{given['conversation']}")
    alone = api.ask()["id"]
    say(api, alone)
    api.http.delete(f"/v1/answers/{alone}")
    assert api.get("/v1/feedback")["feedback"] == []


def test_feedback_is_a_function_of_the_service_for_every_edge(api: AskedApi) -> None:
    answer = api.ask()["id"]
    made = api.services.answers.feedback.record_feedback("ann", answer, "slack:U1", Verdict(Rating.UP))
    assert api.get(f"/v1/answers/{answer}/feedback")["feedback"][0]["author"] == made.author == "slack:U1"
