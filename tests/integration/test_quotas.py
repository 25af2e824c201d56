"""Quotas at the interface: what is refused, what is told, and that no route spends past them."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import uvicorn

from api.admission.services import DEFAULT_TENANT, Services
from api.cli.private_service import run_private_server
from api.client import Client
from ingest.storage.accounts.records import Scope
from ingest.storage.queue.records import JobKind
from ingest.storage.quotas.records import Account, Quota, Spending
from tests.fakes.callable_chat import Answer, CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.integration.test_api import WHALE, upload
from tests.support.cluster import wait_until
from tests.support.service import running
from tests.support.web_server import WebServer, open_web_server

TENANT = Account(DEFAULT_TENANT)
QUESTION = {"question": "When was the white whale seen?", "strategy": "direct"}


class Model:
    """A model that may be held; every reply of it costs 25 tokens."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.chat = CallableChat(answer=self._answer)

    async def _answer(self, prompt: str) -> Answer:
        while not self.free.is_set():
            await asyncio.sleep(0.005)
        return json.dumps({"queries": ["a whale"]}) if "queries" in prompt else "It was seen in 1819 [1]."


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[tuple[Services, Client]]:
    language_model = LoadedModel(model.chat)
    with running(
        tmp_path_factory.mktemp("home"), language_model=language_model, check="off", webhook_networks="127.0.0.1/32"
    ) as (services, client):
        document = upload(client, WHALE, "whale.md").json()["id"]
        wait_until(lambda: client.get(f"/v1/documents/{document}")["state"] == "ready", what="ready")
        yield services, client


@pytest.fixture
def services(service: tuple[Services, Client], model: Model, one_day: None) -> Iterator[Services]:
    """Without limits, before and after each test."""
    services, _ = service
    model.chat.prompts.clear()
    yield services
    services.admission.meter.quotas.reset_limits(TENANT, list(Quota))
    services.admission.meter._limits.clear()


@pytest.fixture
def site() -> Iterator[WebServer]:
    """A web site with a page in a folder, and one beside it."""
    with open_web_server() as server:
        server.pages["/files/"] = server.list_links
        server.write("note.txt", b"A note of the site.")
        server.add("/page.txt", "A page of the site.", "text/plain")
        yield server


@pytest.fixture
def client(services: Services, service: tuple[Services, Client]) -> Client:
    return service[1]


def limit(services: Services, account: Account = TENANT, **limits: int) -> None:
    services.admission.meter.quotas.set_limits(account, {Quota(name): amount for name, amount in limits.items()})
    services.admission.meter._limits.clear()


def new_key(services: Services) -> tuple[Account, dict[str, str]]:
    """A key that has used nothing."""
    key, text = services.keys.issue_key(DEFAULT_TENANT, "another")
    return Account(DEFAULT_TENANT, key.id), {"Authorization": f"Bearer {text}"}


def used(services: Services, account: Account) -> int:
    days = services.admission.meter.quotas.list_usage(account.tenant_id, key_id=account.key_id, skip=0, limit=10)
    return sum(day.prompt_tokens + day.completion_tokens for day in days)


def test_an_answer_is_charged_and_refused_when_nothing_is_left(services: Services, client: Client) -> None:
    account, headers = new_key(services)
    limit(services, account, tokens_per_day=6_000)
    first = client.http.post("/v1/answers", json=QUESTION, headers=headers)
    assert first.status_code == 200
    assert first.headers["ratelimit-policy"] == '"key.tokens_per_day";q=6000;w=86400'
    assert first.headers["ratelimit"].startswith('"key.tokens_per_day";r=0;t=')  # all that was left was reserved
    assert used(services, account) == sum(
        first.json()["usage"][each] for each in ("prompt_tokens", "completion_tokens")
    )
    limit(services, account, tokens_per_day=25)
    refused = client.http.post("/v1/answers", json={**QUESTION, "stream": True}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert 0 < int(refused.headers["retry-after"]) <= 86_400
    told = refused.json()["quota"]
    assert (told["quota"], told["of"], told["limit"], told["left"]) == ("tokens_per_day", "key", 25, 0)
    assert told["renews_at"].endswith("T00:00:00Z")
    assert client.http.post("/v1/answers", json=QUESTION).status_code == 200


def test_an_answer_that_a_quota_cuts_short_says_so_and_not_that_its_budget_is_over(
    services: Services, client: Client, model: Model
) -> None:
    account, headers = new_key(services)
    limit(services, account, tokens_per_day=30)
    refused = client.http.post("/v1/answers", json=QUESTION, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert model.chat.prompts == []
    assert services.admission.meter.quotas.load_statuses(account)[0].reserved == 0


@pytest.mark.slow
def test_200_questions_at_once_on_one_key_spend_no_more_than_it_may(services: Services) -> None:
    account, headers = new_key(services)
    limit(services, account, tokens_per_day=6_000)

    def ask(number: int) -> int:
        body = {**QUESTION, "question": f"When was whale {number} seen?", "budget": {"tokens": 4_000}}
        return http.post("/v1/answers", json=body, headers=headers).status_code

    # Where idle connections are closed, one may be just when another thread takes it: all are kept.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
    with (
        run_private_server(services, uvicorn.Server) as (_, socket, _),
        httpx.HTTPTransport(uds=socket, limits=limits) as transport,
        httpx.Client(base_url="http://leadline", transport=transport, timeout=None) as http,
        ThreadPoolExecutor(200) as clients,
    ):
        found = list(clients.map(ask, range(200)))
    assert set(found) <= {200, 429}
    assert 0 < used(services, account) <= 6_000
    assert services.admission.meter.quotas.load_statuses(account)[0].reserved == 0


def test_answers_and_runs_of_a_key_have_places_of_their_own(services: Services, client: Client, model: Model) -> None:
    account, headers = new_key(services)
    limit(services, account, answers_at_once=1, runs_at_once=1)
    model.free.clear()
    with ThreadPoolExecutor(1) as clients:
        held = clients.submit(client.http.post, "/v1/answers", json=QUESTION, headers=headers)
        try:
            wait_until(lambda: bool(model.chat.prompts), what="an answer is under way")
            one_more = client.http.post("/v1/answers", json=QUESTION, headers=headers)
            assert (one_more.status_code, one_more.json()["quota"]["quota"]) == (429, "answers_at_once")
            begun = client.http.post("/v1/answers", json={**QUESTION, "background": True}, headers=headers)
            assert begun.status_code == 202
            another = {**QUESTION, "background": True, "question": "Why?"}
            one_more = client.http.post("/v1/answers", json=another, headers=headers)
            assert (one_more.status_code, one_more.json()["quota"]["quota"]) == (429, "runs_at_once")
        finally:
            model.free.set()
        assert held.result().status_code == 200
    run = begun.json()["id"]
    wait_until(lambda: client.get(f"/v1/runs/{run}")["state"] == "completed", what="the run has ended")
    assert all(each.used == 0 for each in services.admission.meter.quotas.load_statuses(account))
    days = client.http.get("/v1/usage", params={"key": account.key_id}, headers=headers).json()["usage"]
    assert [(day["answers"], day["runs"], day["key_id"]) for day in days] == [(1, 1, account.key_id)]


def test_requests_by_the_minute_are_refused_with_the_time_to_come_back(services: Services, client: Client) -> None:
    account, headers = new_key(services)
    limit(services, account, requests_per_minute=2)
    assert (
        client.http.get("/v1/status", headers=headers).headers["ratelimit"].startswith('"key.requests_per_minute";r=1')
    )
    assert client.http.get("/v1/runs", headers=headers).status_code == 200
    refused = client.http.get("/v1/status", headers=headers)
    assert (refused.status_code, refused.json()["quota"]["quota"]) == (429, "requests_per_minute")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert client.http.get("/v1/status").status_code == 200
    assert client.http.get("/health/live", headers=headers).status_code == 200


def test_a_limit_that_is_set_while_a_key_is_used_soon_holds_for_it(services: Services, client: Client) -> None:
    account, headers = new_key(services)

    def status() -> int:
        return client.http.get("/v1/status", headers=headers).status_code

    assert {status() for _ in range(5)} == {200}
    services.admission.meter.quotas.set_limits(account, {Quota.REQUESTS_PER_MINUTE: 2})
    wait_until(lambda: status() == 429, what="the limit holds")


def test_an_upload_is_refused_by_a_quota_before_and_while_it_arrives(services: Services, client: Client) -> None:
    account, headers = new_key(services)
    limit(services, account, bytes=100)

    def send(content: bytes) -> httpx.Response:
        return client.http.post("/v1/documents", params={"name": "a.md"}, content=content, headers=headers)

    assert send(b"# A\n\nforty bytes of text, more or less.\n").headers["ratelimit"].startswith('"key.bytes";r=')
    refused = send(b"# B\n\n" + b"too much " * 1000)
    assert (refused.status_code, refused.json()["quota"]["quota"]) == (429, "bytes")
    limit(services, account, bytes=10)
    refused = send(b"x")
    assert (refused.status_code, refused.json()["quota"]["left"]) == (429, 0)
    form = [("files", ("one.md", b"# One")), ("files", ("two.md", b"# Two"))]
    assert client.http.post("/v1/documents", files=form, headers=headers).json()["code"] == "quota_exceeded"


def test_a_rewrite_past_the_quota_is_a_search_as_asked_and_says_why(
    services: Services, client: Client, model: Model
) -> None:
    account, headers = new_key(services)
    body = {"query": "whale", "rewrite": "multi_query"}
    assert client.http.post("/v1/search", json=body, headers=headers).json()["rewrite"]["failure"] is None
    assert used(services, account) == 25
    limit(services, account, tokens_per_day=25)
    found = client.http.post("/v1/search", json={**body, "query": "ship"}, headers=headers).json()
    assert "tokens_per_day is 25, and 25 is used" in found["rewrite"]["failure"]
    assert len(model.chat.prompts) == 1


def test_quotas_and_usage_are_shown_to_the_caller(services: Services, client: Client) -> None:
    account, headers = new_key(services)
    services.admission.meter.quotas.charge(
        account, "answer", "x", Spending(1, 2, 3, 4_000_000), reported_spending=Spending()
    )
    limit(services, account, dollars_per_month=2_000_000_000)
    (quota,) = client.http.get("/v1/quotas", headers=headers).json()["quotas"]
    assert (quota["quota"], quota["limit"], quota["used"], quota["left"]) == ("dollars_per_month", 2.0, 0.004, 1.996)
    (day,) = client.http.get("/v1/usage", params={"key": account.key_id}, headers=headers).json()["usage"]
    assert (day["calls"], day["prompt_tokens"], day["completion_tokens"], day["dollars"]) == (1, 2, 3, 0.004)
    whole = client.http.get("/v1/usage", params={"limit": 1}).json()
    assert len(whole["usage"]) == 1


def test_an_admin_sets_the_limits_of_a_key_and_an_operator_those_of_a_tenant(
    services: Services, client: Client
) -> None:
    account, _ = new_key(services)
    _, operator = services.keys.issue_key(DEFAULT_TENANT, "operator", scopes=list(Scope))
    headers = {"Authorization": f"Bearer {operator}"}
    of_key, of_tenant = f"/v1/keys/{account.key_id}/quotas", f"/v1/tenants/{DEFAULT_TENANT}/quotas"
    body = {"limits": {"tokens_per_day": 2_000_000, "dollars_per_month": 12.5, "bytes": None}}
    made = client.http.put(of_key, json=body, headers=headers).json()["quotas"]
    assert [(each["quota"], each["of"], each["limit"]) for each in made] == [
        ("tokens_per_day", "key", 2_000_000),
        ("dollars_per_month", "key", 12.5),
    ]
    client.http.put(of_tenant, json={"limits": {"documents": 900}}, headers=headers)
    back = {"limits": {"tokens_per_day": "default"}}
    client.http.put(of_key, json=back, headers=headers)
    left = client.http.get(of_key, headers=headers).json()["quotas"]
    assert [(each["quota"], each["of"]) for each in left] == [("documents", "tenant"), ("dollars_per_month", "key")]
    assert client.http.put(of_key, json={"limits": {"bytes": 0.5}}, headers=headers).status_code == 422
    assert client.http.put("/v1/keys/none/quotas", json=back, headers=headers).status_code == 404
    assert client.http.put("/v1/tenants/none/quotas", json=back, headers=headers).status_code == 404
    assert client.http.put(of_tenant, json=back).status_code == 403  # a tenant's admin is not its operator


# Every route, found in the application itself.

MAKING = {JobKind.INGEST, JobKind.EMBED, JobKind.RUN, JobKind.SYNC}
BODIES: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [{"json": {"model": "leadline", "messages": [{"role": "user", "content": "When?"}]}}],
    "/v1/sign-in": [{"json": {"ticket": "of nobody"}}],
    "/v1/responses": [
        {"json": {"model": "leadline", "input": "When?"}},
        {"json": {"model": "leadline", "input": "When?", "background": True}},
    ],
    "/v1/keys": [{"json": {"name": "another", "scopes": ["read"]}}],
    "/v1/answers": [
        {"json": QUESTION},
        {"json": {**QUESTION, "stream": True}},
        {"json": {**QUESTION, "background": True, "question": "What else?"}},
    ],
    "/v1/answers/estimate": [{"json": QUESTION}],
    "/v1/webhooks": [{"json": {"url": "https://hooks.example.org/x", "events": ["document.ready"]}}],
    "patch /v1/collections/{collection}": [{"json": {"title": "X"}}],
    "/v1/shares": [{"json": {"conversation": "x"}}],
    "/v1/documents/bulk": [{"json": {"action": "retry", "matching": {}}}],
    "/v1/documents/bulk/plan": [{"json": {"action": "retry", "matching": {}}}],
    "/v1/search": [{"json": {"query": "jaw"}}, {"json": {"query": "crooked jaw", "rewrite": "multi_query"}}],
    "/v1/documents": [
        {"content": b"# Another\n\nA document that is new."},
        {"files": {"files": ("new.md", b"# New\n\nOne that is new too.")}},
    ],
}


def _requests(client: Client, document: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A request or more for every route that may change anything, with a body that its schema takes."""
    openapi = client.get("/openapi.json")
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            if method == "delete":
                continue
            schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            bodies = BODIES.get(path if method == "post" else f"{method} {path}")
            needed = [each for each in operation.get("parameters", ()) if each["in"] == "query" and each["required"]]
            query = {"params": {each["name"]: _instance(each["schema"], openapi) for each in needed}} if needed else {}
            for request in bodies or [query | ({} if schema is None else {"json": _instance(schema, openapi)})]:
                if method == "put" and path == "/v1/documents/{document_id}":
                    request = {"content": b"# Replaced\n\nBy something.", "headers": {"If-Match": "*"}}
                filled = path.replace("{document_id}", document).replace("{subject}", "user:x")
                numbers = {
                    f"{{{each['name']}}}"
                    for each in operation.get("parameters", ())
                    if each["in"] == "path" and each["schema"].get("type") == "integer"
                }
                filled = "/".join("1" if part in numbers else part for part in filled.split("/"))
                yield method, re.sub(r"\{\w+\}", "x", filled), request


def _instance(schema: dict[str, Any], openapi: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """The smallest value that follows a schema."""
    if "$ref" in schema:
        return _instance(openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]], openapi)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _instance(schema["anyOf"][0], openapi)
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            return {name: _instance(members[name], openapi) for name in schema.get("required", [])}
        case "array":
            return []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return False
    return "x" * max(1, schema.get("minLength", 1))


def _spent(services: Services, model: Model) -> tuple[int, int, int]:
    """Calls of the model, versions that were stored and runs that were made, so far."""
    days = services.admission.meter.quotas.list_usage(DEFAULT_TENANT, skip=0, limit=500)
    return (
        len(model.chat.prompts),
        sum(day.documents + day.bytes for day in days),
        len(services.answers.runs.list_runs(DEFAULT_TENANT)),
    )


def test_no_route_spends_anything_once_the_quotas_are_used_up(
    services: Services, client: Client, model: Model, site: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_site = {"kind": "web", "options": {"url": f"{site.url}/files/", "include": ["*.txt"]}}
    monkeypatch.setitem(BODIES, "/v1/sources", [{"json": {"name": "Site", **of_site}}])
    monkeypatch.setitem(BODIES, "/v1/sources/check", [{"json": of_site}])
    monkeypatch.setitem(BODIES, "/v1/documents/from-url", [{"json": {"url": f"{site.url}/page.txt"}}])
    document = upload(client, b"# Mine\n\nTo be replaced.", "mine.md").json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{document}")["state"] == "ready", what="ready")
    spenders, refused = set[str](), set[str]()
    for of_everything in (0, None):
        values = (
            {} if of_everything is None else {quota.value: of_everything for quota in Quota if "minute" not in quota}
        )
        services.admission.meter.quotas.reset_limits(TENANT, list(Quota))
        limit(services, TENANT, **values)
        for method, path, request in _requests(client, document):
            before = _spent(services, model)
            response = client.http.request(method, path, **request)
            wait_until(
                lambda: not services.jobs.count_unfinished_jobs().keys() & MAKING, what="what was begun has ended"
            )
            if _spent(services, model) != before:
                assert of_everything is None, f"{method} {path} spends past the quotas"
                spenders.add(f"{method} {path}")
            if response.status_code == 429 or "quota" in response.text:
                refused.add(f"{method} {path}")
            assert response.status_code != 422, f"say in BODIES what {method} {path} takes: {response.text}"
    mine = f"put /v1/documents/{document}"
    asked = {"post /v1/answers", "post /v1/chat/completions", "post /v1/responses"}
    by_address = {"post /v1/documents/from-url", "post /v1/sources"}
    assert spenders == {*asked, *by_address, "post /v1/suggestions", "post /v1/search", "post /v1/documents", mine}
    # A source is created, and its synchronization refuses the items.
    assert spenders - {"post /v1/sources"} <= refused
