"""Requests that are sent again under their Idempotency-Key: each route that is posted to, over a running service."""

import hashlib
import re
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from api.admission.idempotency import MAX_KEY_CHARS, REPEATABLE
from api.admission.services import DEFAULT_TENANT, Services
from api.main import create_app
from ingest.storage.accounts.records import TENANT_SCOPES, Scope
from ingest.storage.db.database import build_sqlite_url, open_database, read_transaction
from ingest.storage.db.schema import idempotency_keys
from ingest.storage.documents.catalog import Catalog
from ingest.storage.idempotency import LEASE_SECONDS, IdempotencyKeys
from ingest.storage.operations.expiry import Expiry
from ingest.storage.operations.retention import Retention
from tests.support.cluster import wait_until
from tests.support.harbour import COUNT, KEEPER, LAMP, Harbour, Model, harbour
from tests.support.postgres import disposed
from tests.support.routes import api_routes

REVIEWED = {  # what may be sent again without a key, as it reads or does nothing twice
    "/v1/search",
    "/v1/answers/estimate",
    "/v1/suggestions",
    "/v1/embeddings",
    "/v1/vector_stores/{vector_store_id}/search",
    "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
    "/v1/documents/{document_id}/cancel",
    "/v1/batches/{batch_id}/cancel",
    "/v1/batches/{batch_id}/close",
    "/v1/runs/{run_id}/cancel",
    "/v1/sources/{source_id}/syncs/{sync_id}/cancel",
    "/v1/responses/{response_id}/cancel",
    "/v1/responses/input_tokens",
    "/v1/answers/{answer_id}/cancel",
    "/v1/sign-in",
    "/v1/sign-out",
    "/v1/back-channel-logout",
    "/v1/slack/check",
}
MESSAGES = [{"role": "user", "content": KEEPER}]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), Model()) as made:
        yield made


@pytest.fixture(scope="module")
def http(service: Harbour) -> Iterator[httpx.Client]:
    _, key = service.services.keys.issue_key(DEFAULT_TENANT, "everything", scopes=[*TENANT_SCOPES, Scope.OPERATOR])
    with httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client:
        yield client


def again(http: httpx.Client, key: str, path: str, **sent: Any) -> tuple[httpx.Response, httpx.Response]:  # noqa: ANN401
    """A request and the same once more: the second is replayed, and is the first word for word."""
    first, second = (http.post(path, headers={"Idempotency-Key": key}, **sent) for _ in range(2))
    assert first.is_success, first.text
    assert "idempotent-replayed" not in first.headers
    assert (second.status_code, second.headers["idempotent-replayed"]) == (first.status_code, "true")
    return first, second


def settle(service: Harbour) -> None:
    """Wait until runs that began before have ended: nobody else asks the model then."""
    runs = service.services.answers.runs
    wait_until(lambda: all(run.has_ended for run in runs.list_runs(DEFAULT_TENANT)), what="all runs have ended")


def hold_the_model(service: Harbour) -> None:
    """Have the model hold the next request."""
    settle(service)
    service.model.fault = "wait"


def posted(services: Services) -> list[str]:
    return [route.path for method, route in api_routes(create_app(services)) if method == "POST"]


def test_each_route_that_is_posted_to_takes_a_key_or_may_be_sent_again_without(
    service: Harbour, http: httpx.Client
) -> None:
    """The route is not reached while a request with the key is under way, whatever it does."""
    key, holder = "held", http.headers["authorization"].removeprefix("Bearer ").split("_")[1]
    digest = hashlib.sha256(f"{holder}\0{key}".encode()).hexdigest()
    other = "0" * 64
    service.services.admission.idempotency.claim(DEFAULT_TENANT, digest, other)
    exempt = set()
    for path in posted(service.services):
        filled = re.sub(r"\{\w+\}", "nobody", path)
        found = http.post(filled, headers={"Idempotency-Key": key}, json={})
        if "idempotency_key_reused" not in found.text:
            exempt.add(path)
    assert exempt == REVIEWED & set(posted(service.services))
    assert all(REPEATABLE.fullmatch(re.sub(r"\{\w+\}", "nobody", path)) for path in exempt)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1/batches", {"json": {"name": "April"}}),
        ("/v1/documents", {"content": b"# Once\n\nIt is sent twice.\n", "params": {"name": "once.md"}}),
        (
            "/v1/documents",
            {"files": [("file", ("a.md", b"# A\n\nOne of two.\n")), ("file", ("b.md", b"# B\n\nTwo.\n"))]},
        ),
        ("/v1/answers", {"json": {"question": COUNT, "background": True}}),
        ("/v1/responses", {"json": {"model": "leadline", "input": COUNT, "background": True}}),
        ("/v1/keys", {"json": {"name": "mine", "scopes": ["read"]}}),
        ("/v1/users", {"json": {"name": "ann"}}),
    ],
    ids=str,
)
def test_what_is_sent_again_is_answered_as_before_and_made_once(
    http: httpx.Client, path: str, sent: dict[str, Any]
) -> None:
    first, second = again(http, f"once {path} {sorted(sent)} {len(str(sent))}", path, **sent)
    assert second.content == first.content
    assert second.headers.get("location") == first.headers.get("location")


@pytest.mark.parametrize("path", ["/v1/answers", "/v1/chat/completions", "/v1/responses"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_made_and_paid_for_once(service: Harbour, http: httpx.Client, path: str, stream: bool) -> None:
    """The calls of the model are counted: the repeat makes none, and has the same answer."""
    body: dict[str, Any] = {"stream": stream}
    if path == "/v1/answers":
        body["question"] = KEEPER
    else:
        body |= {"model": "leadline", ("messages" if "chat" in path else "input"): MESSAGES}
    key = {"Idempotency-Key": f"answer {path} {stream}"}
    settle(service)
    first = http.post(path, json=body, headers=key)
    calls = len(service.model.requests)
    second = http.post(path, json=body, headers=key)
    assert second.headers["idempotent-replayed"] == "true"
    assert len(service.model.requests) == calls
    assert "Ada Brandt kept it" in second.text
    ids = [set(re.findall(r'"id": ?"((?:chatcmpl-|resp_)?[0-9a-f-]{36})"', found.text)) for found in (first, second)]
    assert ids[0] == ids[1] != set()
    if not stream and path == "/v1/answers":
        assert first.json() == second.json()


def test_a_key_with_another_body_or_address_is_refused(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "another"}
    http.post("/v1/batches", json={"name": "April"}, headers=key).raise_for_status()
    refused = [
        http.post("/v1/batches", json={"name": "May"}, headers=key),
        http.post("/v1/users", json={"name": "April"}, headers=key),
    ]
    assert {(each.status_code, each.json()["code"]) for each in refused} == {(422, "idempotency_key_reused")}
    key = {"Idempotency-Key": "another file"}
    for content, status in ((b"# One\n\nA file.\n", 202), (b"# Two\n\nAnother.\n", 422)):
        found = http.post("/v1/documents", params={"name": "a.md"}, content=content, headers=key)
        assert found.status_code == status
    for wrong in ("", "k" * (MAX_KEY_CHARS + 1)):
        assert http.post("/v1/batches", json={}, headers={"Idempotency-Key": wrong}).status_code == 422


def test_a_request_that_is_under_way_is_not_begun_again(service: Harbour, http: httpx.Client) -> None:
    key, body = {"Idempotency-Key": "under way"}, {"question": "Who was the keeper of it?"}
    hold_the_model(service)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(http.post, "/v1/answers", json=body, headers=key)
        try:
            wait_until(lambda: service.model.open > 0, what="the first is under way")
            refused = http.post("/v1/answers", json=body, headers=key)
        finally:
            service.model.fault = ""
        assert (refused.status_code, refused.json()["code"]) == (409, "request_under_way")
        made = first.result()
    assert http.post("/v1/answers", json=body, headers=key).json() == made.json()


def test_many_at_once_with_one_key_make_one(service: Harbour, http: httpx.Client) -> None:
    key, ready = {"Idempotency-Key": "many"}, threading.Barrier(12)

    def make(_: int) -> httpx.Response:
        ready.wait()
        return http.post("/v1/answers", json={"question": LAMP, "background": True}, headers=key)

    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(make, range(12)))
    assert {each.status_code for each in made} <= {202, 409}
    assert len({each.json()["id"] for each in made if each.status_code == 202}) == 1
    asked = [run for run in service.services.answers.runs.list_runs(DEFAULT_TENANT) if run.question == LAMP]
    assert len(asked) == 1


def test_a_request_that_failed_or_whose_client_went_may_be_sent_again(service: Harbour, http: httpx.Client) -> None:
    key = {"Idempotency-Key": "refused"}
    assert http.post("/v1/batches", json={"name": 7}, headers=key).status_code == 422
    assert http.post("/v1/batches", json={"name": "seven"}, headers=key).status_code == 201
    key, body = {"Idempotency-Key": "left"}, {"question": "Who kept it, after all?"}
    hold_the_model(service)
    try:
        with pytest.raises(httpx.ReadTimeout):
            http.post("/v1/answers", json=body, headers=key, timeout=httpx.Timeout(60, read=0.5))
        wait_until(lambda: service.model.open == 0, what="the work has stopped")
    finally:
        service.model.fault = ""
    wait_until(lambda: http.post("/v1/answers", json=body, headers=key).status_code == 200, what="it is made")


def test_a_key_of_another_has_nothing_to_do_with_it(service: Harbour, http: httpx.Client) -> None:
    """Two holders of keys, of one tenant and of two, may choose the same text."""
    services = service.services
    services.documents.catalog.ensure_tenant("others")
    keys = [services.keys.issue_key(tenant, "another")[1] for tenant in (DEFAULT_TENANT, "others")]
    callers = [http.headers["authorization"], *(f"Bearer {key}" for key in keys)]
    made = [
        http.post("/v1/batches", json={"name": "ours"}, headers={"Idempotency-Key": "same", "Authorization": caller})
        for caller in callers
    ]
    assert {each.status_code for each in made} == {201}
    assert len({each.json()["id"] for each in made}) == 3
    assert all("idempotent-replayed" not in each.headers for each in made)


def test_what_was_closed_to_the_caller_since_is_not_shown_again(service: Harbour, http: httpx.Client) -> None:
    services = service.services
    user = services.accounts.users.create(DEFAULT_TENANT, "rea").name
    _, key = services.keys.issue_key(DEFAULT_TENANT, "rea's", scopes=[Scope.READ, Scope.ASK], user=user)
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "closed"}
    first = http.post("/v1/answers", json={"question": KEEPER}, headers=headers).json()
    cited = first["citations"][0]["document_id"]
    closed = http.patch(f"/v1/documents/{cited}", json={"readers": ["user:else"]}, headers={"If-Match": "*"})
    assert closed.status_code == 200
    try:
        second = http.post("/v1/answers", json={"question": KEEPER}, headers=headers).json()
    finally:
        http.patch(f"/v1/documents/{cited}", json={"readers": None}, headers={"If-Match": "*"}).raise_for_status()
    assert (second["id"], second["citations"][0]["quote"]) == (first["id"], "")
    assert first["citations"][0]["quote"] not in str(second)


def test_neither_keys_nor_responses_stand_readable_in_the_catalog(service: Harbour, http: httpx.Client) -> None:
    key = {"Idempotency-Key": "a secret text"}
    made = http.post("/v1/keys", json={"name": "hidden", "scopes": ["read"]}, headers=key)
    secret = made.json()["key"].encode()
    home = Path(service.services.settings.home)
    files = [file.read_bytes() for file in home.glob("catalog.sqlite*")]
    assert not any(text in file for file in files for text in (secret, b"a secret text"))
    with (
        disposed(open_database(build_sqlite_url(home / "catalog.sqlite"))) as engine,
        read_transaction(engine) as connection,
    ):
        kept = [row.response for row in connection.execute(select(idempotency_keys)).all() if row.response]
    for start in range(32):  # they are compressed before they are sealed
        for response in kept:
            with pytest.raises(zlib.error):
                zlib.decompress(response[start:])


def test_a_lease_that_ran_out_is_taken_over_under_the_same_id_and_a_key_ends_in_time(tmp_path: Path) -> None:
    now = [1_000.0]
    with disposed(open_database(build_sqlite_url(tmp_path / "catalog.sqlite"))) as engine:
        Catalog(engine).ensure_tenant("ann")
        keys = IdempotencyKeys(engine, retention_seconds=3_600, clock=lambda: now[0])
        first = keys.claim("ann", "k", "r")
        now[0] += LEASE_SECONDS + 1
        second = keys.claim("ann", "k", "r")
        assert (first.is_repeat, second.is_repeat, second.id) == (False, True, first.id)
        keys.store_response(second, b"sealed")
        assert keys.claim("ann", "k", "r").response == b"sealed"
        now[0] += 3_600
        assert keys.claim("ann", "k", "r").id != first.id
        Expiry(engine, clock=lambda: now[0] + 3_601).delete_expired_records(Retention())
        with read_transaction(engine) as connection:
            assert connection.execute(select(idempotency_keys)).all() == []
