"""Answers that continue when their clients disconnect: followed, cancelled, failed and interrupted."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from api.admission.meter import MeteredWork
from api.admission.services import DEFAULT_TENANT, Services
from api.answers.detached import DetachedAnswers
from api.answers.taking_up import take_up_interrupted_answers
from api.client import Client
from api.client.errors import ServiceError
from api.client.schemas import AnswerOut
from api.http.threads import AnswerThreads
from api.main import create_app
from ingest.storage.accounts.records import Scope
from ingest.storage.answers.pending_records import MAX_ATTEMPTS
from ingest.storage.db.database import write_transaction
from ingest.storage.db.schema import pending_answers
from ingest.storage.quotas.records import Account, Quota
from rlm.errors import LanguageModelUnavailableError
from rlm.events import Completed, Delta, Event, Retrieved, Routed
from rlm.requests import AnswerRequest
from tests.fakes.scripted_answers import answer
from tests.support.cluster import wait_until
from tests.support.portal_pages import WrittenAnswers
from tests.support.serving import serving

QUESTION = {"question": "Which colour had the whale?", "conversation": "new", "detach": True}


@pytest.fixture
def script(services: Services) -> WrittenAnswers:
    made = WrittenAnswers()
    services.asking = replace(services.asking, answering=made)
    return made


@contextmanager
def connect(services: Services, user: str | None = None, **options: Any) -> Iterator[httpx.Client]:  # noqa: ANN401
    """Serve the API in a process of its own, and return a client of a user or, without one, of an admin's key."""
    if user is not None:
        services.accounts.users.create(DEFAULT_TENANT, user)
    _, key = services.keys.issue_key(DEFAULT_TENANT, user or "a test", user=user, **options)
    with (
        serving(create_app(services)) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client,
    ):
        yield client


def read_events(client: httpx.Client, answer_id: str, **headers: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    with client.stream("GET", f"/v1/answers/{answer_id}/events", headers=headers) as response:
        assert response.status_code == 200, response.read()
        fields: dict[str, str] = {}
        for line in response.iter_lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            elif "event" in fields:
                yield fields["id"], fields["event"], json.loads(fields["data"])
                fields = {}


def start(client: httpx.Client, **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    response = client.post("/v1/answers", json={**QUESTION, **changes})
    assert response.status_code == 202, response.text
    assert response.headers["location"] == f"/v1/answers/{response.json()['id']}/events"
    found: dict[str, Any] = response.json()
    return found


def load(client: httpx.Client, conversation: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/v1/conversations/{conversation}").json()
    return found


class _RoutedAnswers(WrittenAnswers):
    """Chooses a strategy until it may go on."""

    def stream(self, request: AnswerRequest, **how: Any) -> Iterator[Event]:  # noqa: ANN401
        with request.used.record_routing():
            self.choosing.set()
            assert self.go_on.wait(60)
        yield from super().stream(request, **how)

    def __init__(self) -> None:
        super().__init__()
        self.choosing = threading.Event()


def test_a_question_is_accepted_and_followed_while_its_strategy_is_chosen(services: Services) -> None:
    made = _RoutedAnswers()
    made.events = [Routed("direct", ""), Delta("White."), Completed(answer("d"))]
    services.asking = replace(services.asking, answering=made)
    with connect(services) as client, pytest.MonkeyPatch.context() as patch:
        # The request is answered while the model chooses.
        find = services.answers.pending.find

        def find_while_choosing(*ids: Any) -> Any:  # noqa: ANN401
            assert made.choosing.wait(60)
            return find(*ids)

        patch.setattr(services.answers.pending, "find", find_while_choosing)
        pending = start(client)
        made.go_on.set()
        events = [name for _, name, _ in read_events(client, pending["id"])]
        assert events[-1] == "completed"
        assert client.get(f"/v1/answers/{pending['id']}").status_code == 200


def test_the_question_is_part_of_its_conversation_at_once_and_the_answer_is_stored_without_a_client(
    services: Services, script: WrittenAnswers
) -> None:
    script.events = [Routed("direct", ""), Delta("The whale "), None, Delta("was white."), Completed(answer("d"))]
    with connect(services) as client:
        pending = start(client, strategy="direct")
        assert (pending["state"], pending["question"]) == ("running", QUESTION["question"])
        shown = load(client, pending["conversation"])
        assert [(each["id"], each["state"]) for each in shown["pending"]] == [(pending["id"], "running")]
        assert shown["turns"] == []
        assert shown["pending"][0]["options"]["strategy"] == "direct"
        listed = client.get("/v1/conversations").json()["conversations"]
        assert [each["id"] for each in listed] == [pending["conversation"]]
        script.go_on.set()
        wait_until(lambda: load(client, pending["conversation"])["turns"], what="the answer is stored")
        shown = load(client, pending["conversation"])
        assert (shown["pending"], [each["answer"]["id"] for each in shown["turns"]]) == ([], [pending["id"]])
        assert client.get(f"/v1/answers/{pending['id']}").status_code == 200


def test_followers_of_any_process_get_every_event_and_continue_after_the_last_one_they_received(
    services: Services, script: WrittenAnswers
) -> None:
    script.events = [Routed("direct", ""), Retrieved((), "whale"), Delta("The whale "), None, Delta("was white.")]
    script.events.append(Completed(answer("d")))
    with connect(services) as first, connect(services) as second:
        pending = start(first)
        found = read_events(second, pending["id"])
        begun = [next(found) for _ in range(3)]
        assert [kind for _, kind, _ in begun] == ["routed", "retrieved", "delta"]
        later = read_events(first, pending["id"], **{"Last-Event-ID": begun[1][0]})
        assert next(later) == begun[2]
        script.go_on.set()
        for rest in (list(found), list(later)):
            assert "".join(body["text"] for _, kind, body in rest if kind == "delta") in ("was white.", "")
            assert (rest[-1][1], rest[-1][2]["id"]) == ("completed", pending["id"])
        again = list(read_events(second, pending["id"]))
        assert [kind for _, kind, _ in again] == ["completed"]
        received = {"Last-Event-ID": again[0][0]}
        assert second.get(f"/v1/answers/{pending['id']}/events", headers=received).status_code == 204


def test_cancelling_stops_the_work_of_another_process_and_leaves_the_question(
    services: Services, script: WrittenAnswers
) -> None:
    script.events = [Delta("The whale "), None]
    with connect(services) as first, connect(services) as second:
        pending = start(first)
        assert second.post(f"/v1/answers/{pending['id']}/cancel").status_code == 204
        assert script.stopped.wait(60)
        *_, (_, kind, problem) = read_events(second, pending["id"])
        assert (kind, problem["code"]) == ("error", "answer_cancelled")
        shown = load(first, pending["conversation"])
        assert [(each["state"], each["question"]) for each in shown["pending"]] == [("cancelled", QUESTION["question"])]
        wait_until(lambda: not services.answers.pending.list_events(pending["id"]), what="the text is removed")
        assert first.delete(f"/v1/answers/{pending['id']}").status_code == 204
        assert load(first, pending["conversation"])["pending"] == []


def test_a_failure_is_kept_with_its_reason(services: Services, script: WrittenAnswers) -> None:
    script.events = [Delta("The whale "), LanguageModelUnavailableError("The language model is away.")]
    with connect(services) as client:
        pending = start(client)
        *text, (_, kind, problem) = read_events(client, pending["id"])
        assert [body for _, _, body in text] == [{"text": "The whale "}]
        assert (kind, problem["code"]) == ("error", "language_model_unavailable")
        (kept,) = load(client, pending["conversation"])["pending"]
        assert (kept["state"], kept["problem"]["code"]) == ("failed", "language_model_unavailable")


def stop_during_answer(services: Services, script: WrittenAnswers, client: httpx.Client) -> dict[str, Any]:
    """Start an answer whose first words are stored."""
    script.events = [Delta("The whale "), None, Delta("was white."), Completed(answer("d"))]
    pending = start(client)
    wait_until(lambda: bool(services.answers.pending.list_events(pending["id"])), what="the text is stored")
    return pending


def test_an_answer_starts_again_after_a_shutdown_and_its_followers_are_told(
    services: Services, script: WrittenAnswers
) -> None:
    with connect(services) as client:
        pending = stop_during_answer(services, script, client)
        (before,) = services.answers.pending.list_events(pending["id"])
    script.go_on.set()
    with connect(services) as client:
        wait_until(lambda: load(client, pending["conversation"])["turns"], what="the answer is stored")
        shown = load(client, pending["conversation"])
        assert [each["answer"]["id"] for each in shown["turns"]] == [pending["id"]]
        assert shown["pending"] == []
    first, again = script.requests
    assert (first.question, first.wanted, first.scope) == (again.question, again.wanted, again.scope)
    assert first.used.answer_id == again.used.answer_id
    assert before.kind == "delta"


def test_a_follower_of_a_restarted_answer_discards_its_text(services: Services, script: WrittenAnswers) -> None:
    with connect(services) as client:
        pending = stop_during_answer(services, script, client)
    with connect(services) as client:
        found = read_events(client, pending["id"], **{"Last-Event-ID": "1"})
        number, kind, body = next(found)
        assert (int(number), kind, body) == (2, "restarted", {})
        (running,) = load(client, pending["conversation"])["pending"]
        assert running["state"] == "running"
        script.go_on.set()
        rest = list(found)
        # The last words may be stored together with the answer, which then stands for them.
        assert "".join(body["text"] for _, kind, body in rest if kind == "delta").startswith("The whale ")
        assert rest[-1][1] == "completed"


def read_response(client: httpx.Client, response_id: str, after: int) -> list[dict[str, Any]]:
    params: dict[str, Any] = {"stream": True, "starting_after": after}
    found = client.get(f"/v1/responses/{response_id}", params=params).text
    return [json.loads(line[6:]) for line in found.splitlines() if line.startswith("data: {")]


@pytest.mark.parametrize("text", ["The whale was white.", "White."])
def test_a_background_response_goes_on_after_a_restart(services: Services, script: WrittenAnswers, text: str) -> None:
    """Its request is repeated, and a client gets the end, even if it has read more text than the answer now has."""
    script.events = [Delta("The whale "), None, Delta("was white."), Completed(answer("d"))]
    asked = {
        "input": QUESTION["question"],
        "background": True,
        "stream": True,
        "metadata": {"team": "whalers"},
        "max_output_tokens": 500,
    }
    with connect(services) as client, client.stream("POST", "/v1/responses", json=asked) as response:
        read: list[dict[str, Any]] = []
        for line in response.iter_lines():
            if line.startswith("data: {"):
                read.append(json.loads(line[6:]))
                if read[-1]["type"] == "response.output_text.delta":
                    break
        identifier, last = read[0]["response"]["id"], read[-1]["sequence_number"]
        begun = client.get(f"/v1/responses/{identifier}").json()
        assert (begun["status"], begun["metadata"], begun["max_output_tokens"]) == (
            "in_progress",
            asked["metadata"],
            500,
        )
    whole = answer("d", text=text)
    script.events = [Delta(text), Completed(whole)]
    script.go_on.set()
    with connect(services) as client:
        rest = read_response(client, identifier, last)
        pieces = "".join(each["delta"] for each in (*read, *rest) if each["type"] == "response.output_text.delta")
        assert pieces == text if text.startswith("The") else pieces == "The whale"
        numbers = [each["sequence_number"] for each in rest]
        assert numbers == sorted(set(numbers))
        assert (rest[-1]["type"], numbers[0] > last) == ("response.completed", True)
        for found in (rest[-1]["response"], client.get(f"/v1/responses/{identifier}").json()):
            assert found["output"][0]["content"][0]["text"] == text
            assert (found["background"], found["metadata"], found["max_output_tokens"]) == (
                True,
                asked["metadata"],
                500,
            )
        assert [
            each["content"][0]["text"] for each in client.get(f"/v1/responses/{identifier}/input_items").json()["data"]
        ] == [asked["input"]]


def test_another_process_takes_an_answer_up_when_its_lease_ends_and_the_first_one_stores_nothing(
    services: Services, script: WrittenAnswers
) -> None:
    with connect(services) as first, pytest.MonkeyPatch.context() as patched, connect(services):
        pending = stop_during_answer(services, script, first)
        # The first process gives no sign of life, and goes on later.
        patched.setattr(services.answers.pending, "renew", lambda _: True)
        services.answers.interrupted.release_all()
        wait_until(lambda: len(script.requests) == 2, what="the answer is taken up")
        found = services.answers.pending.find(DEFAULT_TENANT, pending["id"])
        assert found is not None
        assert found.attempt == 2
        script.go_on.set()
        wait_until(lambda: load(first, pending["conversation"])["turns"], what="the answer is stored")
        assert len(load(first, pending["conversation"])["turns"]) == 1


def count_looks(services: Services, patched: pytest.MonkeyPatch) -> threading.Semaphore:
    """Return a semaphore that is released for each look for interrupted answers."""
    looked, find_next = threading.Semaphore(0), services.answers.interrupted.find_next

    def find_and_count() -> Any:  # noqa: ANN401
        looked.release()
        return find_next()

    patched.setattr(services.answers.interrupted, "find_next", find_and_count)
    return looked


def test_a_process_that_was_suspended_goes_on_with_its_own_answer(services: Services, script: WrittenAnswers) -> None:
    with connect(services) as client, pytest.MonkeyPatch.context() as patched:
        pending = stop_during_answer(services, script, client)
        with patched.context() as suspended:
            suspended.setattr(services.answers.pending, "renew", lambda _: True)
            services.answers.interrupted.release_all()
            looked = count_looks(services, patched)
            for _ in range(3):
                assert looked.acquire(timeout=60)
            assert services.answers.interrupted.find_next() is not None
        wait_until(lambda: services.answers.interrupted.find_next() is None, what="the lease is renewed")
        script.go_on.set()
        wait_until(lambda: load(client, pending["conversation"])["turns"], what="the answer is stored")
        assert len(script.requests) == 1


def test_a_shutdown_gives_back_an_answer_that_was_claimed_but_not_started(
    services: Services, script: WrittenAnswers
) -> None:
    with connect(services) as client:
        pending = stop_during_answer(services, script, client)
    claimed, is_closing = threading.Event(), threading.Event()
    claim = services.answers.interrupted.claim

    def claim_and_wait(*found: Any) -> Any:  # noqa: ANN401
        lease = claim(*found)
        claimed.set()
        assert is_closing.wait(60)
        return lease

    async def shut_down_after_claim() -> None:
        detached = DetachedAnswers(services, AnswerThreads(2))
        async with take_up_interrupted_answers(services, detached):
            assert await asyncio.to_thread(claimed.wait, 60)
            asyncio.get_running_loop().call_soon(is_closing.set)  # The shutdown begins first.
        await detached.close()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(services.answers.interrupted, "claim", claim_and_wait)
        asyncio.run(shut_down_after_claim())
    found = services.answers.interrupted.find_next()
    assert found is not None
    assert (found.id, found.attempt) == (pending["id"], 0)


def test_an_interrupted_answer_can_be_cancelled(services: Services, script: WrittenAnswers) -> None:
    with connect(services) as client:
        pending = stop_during_answer(services, script, client)
    with connect(services) as client:
        wait_until(lambda: len(script.requests) == 2, what="the answer is taken up")
        assert client.post(f"/v1/answers/{pending['id']}/cancel").status_code == 204
        assert script.stopped.wait(60)
        (kept,) = load(client, pending["conversation"])["pending"]
        assert kept["state"] == "cancelled"


def test_a_question_during_which_the_service_is_killed_three_times_fails_with_its_reason(
    services: Services, script: WrittenAnswers
) -> None:
    with connect(services) as client:
        pending = stop_during_answer(services, script, client)
    with write_transaction(services.answers.pending._engine) as connection:
        connection.execute(update(pending_answers).values(attempt=MAX_ATTEMPTS))
    script.go_on.set()
    with connect(services) as client:
        *_, (_, kind, problem) = read_events(client, pending["id"])
        assert (kind, problem["code"]) == ("error", "answer_interrupted")
        assert "3 times" in problem["detail"]
        (kept,) = load(client, pending["conversation"])["pending"]
        assert (kept["state"], kept["question"]) == ("failed", QUESTION["question"])
        assert len(script.requests) == 1


def test_the_last_attempt_at_an_answer_is_made_without_other_attempts(
    services: Services, script: WrittenAnswers
) -> None:
    with connect(services) as client:
        stop_during_answer(services, script, client)
        start(client)
    with write_transaction(services.answers.pending._engine) as connection:
        connection.execute(update(pending_answers).values(alive_at=0.0, attempt=MAX_ATTEMPTS - 1))
    with connect(services), pytest.MonkeyPatch.context() as patched:
        wait_until(lambda: len(script.requests) == 3, what="one answer is taken up")
        looked = count_looks(services, patched)
        for _ in range(3):  # Three more looks find the other answer, and leave it.
            assert looked.acquire(timeout=60)
        assert len(script.requests) == 3
        script.go_on.set()
        wait_until(lambda: len(script.requests) == 4, what="the other answer is taken up after the first one's end")


def test_an_answer_is_not_taken_up_for_a_key_that_was_revoked_or_may_no_longer_ask(
    services: Services, script: WrittenAnswers
) -> None:
    with connect(services, "ann") as client:
        pending = stop_during_answer(services, script, client)
    (key,) = (each.id for each in services.keys.list_keys(DEFAULT_TENANT) if each.name == "ann")
    services.keys.revoke_key(DEFAULT_TENANT, key)
    script.go_on.set()
    with connect(services) as admin:
        *_, (_, kind, problem) = read_events(admin, pending["id"])
        assert (kind, problem["code"]) == ("error", "unauthorized")
        (kept,) = load(admin, pending["conversation"])["pending"]
        assert (kept["state"], kept["problem"]["code"]) == ("failed", "unauthorized")
    assert len(script.requests) == 1


def test_a_resumed_answer_ends_when_its_key_is_revoked(services: Services, script: WrittenAnswers) -> None:
    with connect(services, "ann") as client:
        stop_during_answer(services, script, client)
    with connect(services):
        wait_until(lambda: len(script.requests) == 2, what="the answer is taken up")
        (key,) = (each.id for each in services.keys.list_keys(DEFAULT_TENANT) if each.name == "ann")
        services.keys.revoke_key(DEFAULT_TENANT, key)
        assert script.stopped.wait(60)


def test_the_quotas_of_today_apply_to_a_resumed_answer(services: Services, script: WrittenAnswers) -> None:
    with connect(services, "ann") as client:
        pending = stop_during_answer(services, script, client)
    (key,) = (each.id for each in services.keys.list_keys(DEFAULT_TENANT) if each.name == "ann")
    services.usage.quotas.set_limits(Account(DEFAULT_TENANT, key), {Quota.TOKENS_PER_DAY: 0})
    script.go_on.set()
    with connect(services) as admin:
        *_, (_, kind, problem) = read_events(admin, pending["id"])
        assert (kind, problem["code"]) == ("error", "quota_exceeded")
    assert len(script.requests) == 1


def test_a_repeated_request_gets_the_answer_that_the_first_one_started(
    services: Services, script: WrittenAnswers
) -> None:
    script.events = [Delta("The whale "), None, Completed(answer("d"))]
    with connect(services) as client:
        key = {"Idempotency-Key": "once"}
        first, again = (client.post("/v1/answers", json=QUESTION, headers=key).json() for _ in range(2))
        assert (first["id"], first["conversation"]) == (again["id"], again["conversation"])
        script.go_on.set()
        wait_until(lambda: load(client, first["conversation"])["turns"], what="the answer is stored")
        assert client.post("/v1/answers", json=QUESTION, headers=key).json()["state"] == "completed"
        assert len(script.requests) == 1


def test_a_refused_question_leaves_no_conversation(services: Services, script: WrittenAnswers) -> None:
    _, key = services.keys.issue_key(DEFAULT_TENANT, "poor")
    with connect(services) as client:
        key_id = next(each["id"] for each in client.get("/v1/keys").json()["keys"] if each["name"] == "poor")
        limits = {"limits": {"tokens_per_day": 0}}
        assert client.put(f"/v1/keys/{key_id}/quotas", json=limits).status_code == 200
        refused = client.post("/v1/answers", json=QUESTION, headers={"Authorization": f"Bearer {key}"})
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert client.get("/v1/conversations").json()["conversations"] == []


def test_the_reservation_is_settled_once_however_an_answer_ends(services: Services, script: WrittenAnswers) -> None:
    settled = threading.Semaphore(0)
    meter = services.admission.meter
    settle = meter.settle_work
    with pytest.MonkeyPatch.context() as patched, connect(services) as client:

        def settle_and_count(work: MeteredWork) -> None:
            settle(work)
            settled.release()

        patched.setattr(meter, "settle_work", settle_and_count)
        for events in ([Completed(answer("d"))], [LanguageModelUnavailableError("Away.")], [Delta("So"), None]):
            script.events = list(events)
            pending = start(client)
            if events[-1] is None:
                client.post(f"/v1/answers/{pending['id']}/cancel")
            assert settled.acquire(timeout=60)
            assert not settled.acquire(timeout=1.5)


def test_others_can_neither_follow_nor_cancel_nor_see_a_pending_answer(
    services: Services, script: WrittenAnswers
) -> None:
    script.events = [Delta("The whale "), None]
    scopes = frozenset({Scope.READ, Scope.ASK})
    with connect(services, "ann", scopes=scopes) as ann, connect(services, "bob", scopes=scopes) as bob:
        pending = start(ann)
        assert bob.get(f"/v1/answers/{pending['id']}/events").json()["code"] == "answer_not_found"
        assert bob.post(f"/v1/answers/{pending['id']}/cancel").json()["code"] == "answer_not_found"
        assert bob.delete(f"/v1/answers/{pending['id']}").json()["code"] == "answer_not_found"
        assert bob.get(f"/v1/conversations/{pending['conversation']}").json()["code"] == "conversation_not_found"
        assert load(ann, pending["conversation"])["pending"][0]["state"] == "running"


def test_an_answer_ends_when_its_key_is_revoked(services: Services, script: WrittenAnswers) -> None:
    script.events = [Delta("The whale "), None]
    with connect(services, "ann") as client, connect(services) as admin:
        pending = start(client)
        (key,) = (each["id"] for each in admin.get("/v1/keys").json()["keys"] if each["name"] == "ann")
        assert admin.delete(f"/v1/keys/{key}").status_code < 300
        assert script.stopped.wait(60)
        wait_until(
            lambda: load(admin, pending["conversation"])["pending"][0]["state"] == "failed", what="the answer ended"
        )


def test_an_admin_who_may_read_less_than_the_author_gets_only_the_end(
    services: Services, script: WrittenAnswers
) -> None:
    script.events = [Delta("The whale "), None]
    scopes = frozenset({Scope.READ, Scope.ASK})
    admin_scopes = frozenset({Scope.READ, Scope.ASK, Scope.ADMIN})
    with connect(services, "ann", scopes=scopes) as ann, connect(services, "root", scopes=admin_scopes) as root:
        pending = start(ann)
        wait_until(lambda: bool(services.answers.pending.list_events(pending["id"])), what="the text is stored")
        found = read_events(root, pending["id"])
        ann.post(f"/v1/answers/{pending['id']}/cancel")
        assert [kind for _, kind, _ in found] == ["error"]


def test_the_client_starts_follows_and_cancels_answers(service: tuple[Services, Client]) -> None:
    services, client = service
    script = WrittenAnswers()
    services.asking = replace(services.asking, answering=script)
    script.events = [Delta("The whale "), Delta("was white."), Completed(answer("d"))]
    pending = client.start_answer("Which colour had the whale?", conversation="new")
    *_, last = client.follow_answer(pending.id)
    assert isinstance(last, AnswerOut)
    assert (last.id, last.conversation) == (pending.id, pending.conversation)
    script.events = [Delta("The whale "), None]
    pending = client.start_answer("And its age?", conversation=pending.conversation)
    client.cancel_answer(pending.id)
    with pytest.raises(ServiceError, match="cancelled"):
        list(client.follow_answer(pending.id))
    assert script.stopped.wait(60)


@pytest.mark.parametrize(
    "changes", [{"stream": True}, {"background": True}, {"conversation": None}], ids=["stream", "background", "alone"]
)
def test_detach_needs_a_conversation_and_no_other_way_of_delivery(
    services: Services, script: WrittenAnswers, changes: Mapping[str, Any]
) -> None:
    with connect(services) as client:
        body = {name: value for name, value in {**QUESTION, **changes}.items() if value is not None}
        assert client.post("/v1/answers", json=body).status_code == 422
