"""The isolation matrix, generated from the routes: every route, with every id that is another's.

What another tenant has is to a caller as what nobody has: the same status and the same body, but for the id. A route
that the matrix does not know fails it: give its parameter an id in `OUTSIDE`, or its body a place in `NAMED_IN_BODIES`.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from api.main import create_app
from ingest.storage.accounts.records import TENANT_SCOPES, Role, Scope
from ingest.storage.sources.records import NewSource
from tests.security.test_scopes import PUBLIC, declared
from tests.support.cluster import wait_until
from tests.support.routes import api_routes
from tests.support.service import running

UNKNOWN = "0123456789abcdef"
TEXT = b"# Plans\n\nThe quokka project begins in spring, and nobody else may know of the quokka.\n"
# A subject and a collection are names, and each tenant has its own of them.
NAMES = {"collection", "subject"}
# A table or a page is a number within a document.
NUMBERS = {"table": "0", "page": "1"}
TUS = {"Tus-Resumable": "1.0.0"}
MESSAGES = [{"role": "user", "content": "When is the quokka?"}]
BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/v1/answers/{answer_id}/feedback"): {"json": {"rating": "up"}},
    ("PATCH", "/v1/conversations/{conversation_id}"): {"json": {"title": "mine"}},
    ("POST", "/v1/conversations/conv_{conversation_id}"): {"json": {"metadata": {"mine": "yes"}}},
    ("POST", "/v1/conversations/conv_{conversation_id}/items"): {"json": {"items": MESSAGES}},
    ("POST", "/v1/runs/{run_id}/continue"): {"json": {"calls": 1}},
    ("PATCH", "/v1/keys/{key_id}"): {"json": {"name": "mine"}},
    ("PUT", "/v1/keys/{key_id}/quotas"): {"json": {"limits": {"requests_per_minute": 1}}},
    ("PATCH", "/v1/webhooks/{webhook_id}"): {"json": {"disabled": True}},
    ("PATCH", "/v1/sources/{source_id}"): {"json": {"name": "mine"}},
    ("DELETE", "/v1/sources/{source_id}"): {"params": {"documents": "keep"}},
    ("POST", "/v1/sources/{source_id}/check"): {"json": {}},
    ("POST", "/v1/sources/{source_id}/syncs/{sync_id}/approve"): {"json": {"removals": 1}},
    ("PATCH", "/v1/users/{user_id}"): {"json": {"groups": ["mine"]}},
    ("PATCH", "/v1/documents/{document_id}"): {"json": {"metadata": {"mine": True}}, "headers": {"If-Match": "*"}},
    ("PATCH", "/v1/documents/{document_id}/card"): {"json": {"kind": "mine"}, "headers": {"If-Match": "*"}},
    ("PUT", "/v1/documents/{document_id}"): {"content": b"mine", "headers": {"If-Match": "*"}},
    ("GET", "/v1/documents/{document_id}/positions"): {"params": {"start": 0, "end": 4}},
    ("GET", "/v1/documents/{document_id}/access"): {"params": {"user": "quokka-keeper"}},
    ("PUT", "/v1/collections/{collection}/grants/{subject}"): {"json": {"role": "reader"}},
    ("HEAD", "/v1/uploads/{upload_id}"): {"headers": TUS},
    ("DELETE", "/v1/uploads/{upload_id}"): {"headers": TUS},
    ("PATCH", "/v1/uploads/{upload_id}"): {
        "content": b"mine",
        "headers": {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
    },
    ("PATCH", "/v1/collections/{collection}"): {"json": {"title": "mine"}, "headers": {"If-Match": "*"}},
    ("POST", "/v1/vector_stores/{vector_store_id}"): {"json": {"name": "mine"}},
    ("POST", "/v1/vector_stores/{vector_store_id}/search"): {"json": {"query": "quokka"}},
    ("POST", "/v1/vector_stores/{vector_store_id}/files"): {"json": {"file_id": "mine"}},
    ("POST", "/v1/vector_stores/{vector_store_id}/files/{file_id}"): {"json": {"attributes": {"mine": True}}},
    ("POST", "/v1/vector_stores/{vector_store_id}/file_batches"): {"json": {"file_ids": ["mine"]}},
}


@dataclass(frozen=True)
class Outside:
    """Ids that are not the caller's, by the parameter that they go into, and the caller's headers."""

    name: str
    ids: Mapping[str, str]
    headers: Mapping[str, str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home")) as (services, client):
        yield services, client


@pytest.fixture(scope="module")
def other_tenant(service: tuple[Services, Client]) -> Outside:
    """Everything there can be of a tenant, and a key of another tenant with all scopes."""
    services, client = service
    http = client.http
    upload = {"name": "plans.md", "collection": "secrets"}
    batch = http.post("/v1/batches", json={"name": "quokka"}).json()["id"]
    document = http.post("/v1/documents", params={**upload, "batch": batch}, content=TEXT).json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{document}")["state"] == "ready", what="it is ready")
    answer = http.post("/v1/answers", json={"question": "When does the quokka begin?", "conversation": "new"}).json()
    run = http.post("/v1/answers", json={"question": "What is the quokka?", "background": True}).json()["id"]
    begun = http.post("/v1/uploads", headers={**TUS, "Upload-Length": "99", "Upload-Metadata": "filename cXVva2th"})
    said = {"rating": "down", "comment": "The quokka begins later."}
    assert http.post(f"/v1/answers/{answer['id']}/feedback", json=said).status_code == 200
    share = http.post("/v1/shares", json={"conversation": answer["conversation"]}).json()["id"]
    user = services.accounts.users.create(DEFAULT_TENANT, "quokka-keeper").id
    key, _ = services.keys.issue_key(DEFAULT_TENANT, "quokka key")
    webhook = http.post("/v1/webhooks", json={"url": "https://quokka.invalid/", "events": ["run.failed"]}).json()["id"]
    message = http.post(f"/v1/webhooks/{webhook}/test").json()["id"]
    found = NewSource("secrets", "web", "quokka", {"url": "https://quokka.invalid/"}, created_by="user:quokka-keeper")
    source = services.sources.sources.create(DEFAULT_TENANT, found)
    assert source.last_sync
    services.accounts.grants.grant_role(DEFAULT_TENANT, "secrets", "user:quokka-keeper", Role.READER)
    store = http.post("/v1/vector_stores", json={"name": "the quokka's"}).json()["id"]
    services.accounts.grants.grant_role(DEFAULT_TENANT, store, "user:quokka-keeper", Role.READER)
    form = {"file": ("quokka.md", TEXT)}
    file = http.post("/v1/files", files=form, data={"purpose": "assistants"}).json()["id"]
    http.post(f"/v1/vector_stores/{store}/files", json={"file_id": file}).raise_for_status()
    services.documents.catalog.ensure_tenant("other")
    _, mine = services.keys.issue_key("other", "a stranger", scopes=TENANT_SCOPES)
    return Outside(
        "another tenant's",
        {
            "document_id": document,
            "batch_id": batch,
            "upload_id": begun.headers["location"].rpartition("/")[2],
            "answer_id": answer["id"],
            "conversation_id": answer["conversation"],
            "run_id": run,
            "share_id": share,
            "response_id": f"resp_{answer['id']}",
            "item_id": f"msg_{answer['id']}",
            "vector_store_id": store,
            "file_id": file,
            "model": "quokka",
            "user_id": user,
            "key_id": key.id,
            "webhook_id": webhook,
            "delivery_id": message,
            "source_id": source.id,
            "sync_id": source.last_sync.id,
            "collection": "secrets",
            "subject": "user:quokka-keeper",
            **NUMBERS,
        },
        {"Authorization": f"Bearer {mine}"},
    )


@pytest.fixture(scope="module", params=["a closed collection's", "a closed document's", "another user's"])
def closed(request: pytest.FixtureRequest, service: tuple[Services, Client], other_tenant: Outside) -> Outside:
    """What is closed to a user of the same tenant: by a grant on its collection, by its own list, or by its owner."""
    services, client = service
    name, every = request.param, TENANT_SCOPES - {Scope.ADMIN}
    user = services.accounts.users.create(DEFAULT_TENANT, name).name
    headers = {"Authorization": f"Bearer {services.keys.issue_key(DEFAULT_TENANT, name, scopes=every, user=user)[1]}"}
    if name == "a closed collection's":
        known = ("document_id", "collection", "vector_store_id", "file_id", *NUMBERS)
        ids = {name: other_tenant.ids[name] for name in known}
        return Outside(name, {**ids, "subject": "user:x"}, headers)
    if name == "another user's":
        return Outside(
            name,
            {
                each: other_tenant.ids[each]
                for each in ("answer_id", "conversation_id", "item_id", "response_id", "run_id", "upload_id")
            },
            headers,
        )
    upload = {"name": "list.md", "collection": "lists", "readers": "user:quokka-keeper"}
    document = client.http.post("/v1/documents", params=upload, content=TEXT + b"It has a list.\n").json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{document}")["state"] == "ready", what="it is ready")
    return Outside(name, {"document_id": document, **NUMBERS}, headers)


def routes(services: Services) -> list[tuple[str, str]]:
    """Every route but the public ones and those of operators, who are on no tenant's side."""
    found = [
        (method, route.path)
        for method, route in api_routes(create_app(services))
        if route.path not in PUBLIC and all(Scope.OPERATOR not in needed.scopes for needed in declared(route))
    ]
    assert len(found) > 40
    return found


def asked(client: Client, outside: Outside, method: str, path: str, ids: Mapping[str, str]) -> tuple[int, str]:
    """The status and the body of a route with these ids in its path, in which every id is called the same."""
    sent = dict(BODIES.get((method, path), {}))
    headers = {**outside.headers, **sent.pop("headers", {})}
    filled = path.format(**ids)
    found = client.http.request(method, filled, headers=headers, **sent)
    body = found.text
    if body and found.headers["content-type"].startswith("application/problem+json"):
        body = json.dumps({name: value for name, value in found.json().items() if name != "request_id"}, sort_keys=True)
    for name, value in sorted(ids.items(), key=lambda each: -len(each[1])):  # some are in others
        body = body if name in NUMBERS else body.replace(value, f"<{name}>")
    body = re.sub(r'"(created|created_at)":\d+', '"created":<time>', body)
    return found.status_code, re.sub(r'"\d{4}-\d\d-\d\dT[^"]*"', "<time>", body)


def nobodys(outside: Outside) -> dict[str, str]:
    """An id of each kind that nobody has."""
    unknown = {name: f"{number:02}{UNKNOWN}" for number, name in enumerate(outside.ids)}
    return {name: f"user:{value}" if name == "subject" else value for name, value in unknown.items()} | NUMBERS


def test_what_is_anothers_is_as_what_is_not_there(service: tuple[Services, Client], other_tenant: Outside) -> None:
    services, client = service
    for method, path in routes(services):
        parameters = set(re.findall(r"\{(\w+)\}", path))
        assert parameters <= set(other_tenant.ids), f"{method} {path}: the isolation matrix does not know its id"
        if not parameters:
            continue
        foreign = asked(client, other_tenant, method, path, other_tenant.ids)
        unknown = asked(client, other_tenant, method, path, nobodys(other_tenant))
        assert foreign == unknown, f"{method} {path}"
        if not parameters <= NAMES:
            assert foreign[0] == 404, f"{method} {path}: {foreign}"
    # Nothing of what was asked for has changed anything.
    kept = other_tenant.ids
    assert client.get(f"/v1/documents/{kept['document_id']}")["state"] == "ready"
    assert client.get(f"/v1/batches/{kept['batch_id']}")["closed_at"] is None
    assert client.get(f"/v1/conversations/{kept['conversation_id']}")["turns"]
    assert client.get(f"/v1/runs/{kept['run_id']}")["id"] == kept["run_id"]
    assert [each["rating"] for each in client.get("/v1/feedback")["feedback"]] == ["down"]
    assert client.get(f"/v1/shared/{kept['share_id']}")["turns"]
    assert client.get(f"/v1/keys/{kept['key_id']}")["state"] == "live"
    assert client.get(f"/v1/users/{kept['user_id']}")["groups"] == []
    assert client.get(f"/v1/files/{kept['file_id']}")["filename"] == "quokka.md"
    assert client.get(f"/v1/vector_stores/{kept['vector_store_id']}/files")["data"]
    assert client.get(f"/v1/webhooks/{kept['webhook_id']}")["disabled_at"] is None
    grants = services.accounts.grants.list_grants(DEFAULT_TENANT, "secrets")
    assert [(each.subject, each.role) for each in grants] == [("user:quokka-keeper", Role.READER)]


def test_no_listing_shows_anything_of_another(service: tuple[Services, Client], other_tenant: Outside) -> None:
    services, client = service
    seen = 0
    for method, path in routes(services):
        if method != "GET" or "{" in path:
            continue
        shown = client.http.get(path, headers=other_tenant.headers)
        assert shown.status_code == 200, f"GET {path}: {shown.text}"
        own = shown.text
        for name in NAMES:  # the caller has granted a collection of that name in its own tenant, in the matrix above
            own = own.replace(other_tenant.ids[name], "")
        ids = {value for name, value in other_tenant.ids.items() if name not in NAMES | NUMBERS.keys()}
        assert {each for each in (*ids, "quokka") if each in own} == set(), f"GET {path}: {own}"
        seen += 1
    assert seen >= 8


def test_what_is_closed_within_a_tenant_is_as_what_is_not_there(
    service: tuple[Services, Client], closed: Outside
) -> None:
    services, client = service
    asked_for = 0
    for method, path in routes(services):
        parameters = set(re.findall(r"\{(\w+)\}", path))
        if not parameters or not parameters <= set(closed.ids):
            continue
        mine, unknown = (asked(client, closed, method, path, ids) for ids in (closed.ids, nobodys(closed)))
        assert mine == unknown, f"{method} {path}"
        # Only an admin may send this request, and those from whom something is closed here are none.
        assert mine[0] == (403 if path.endswith("/access") else 404), f"{method} {path}: {mine}"
        asked_for += 1
    assert asked_for >= 3


# Routes whose bodies and queries can name something, with what comes of naming another's or nobody's.
NAMED_IN_BODIES: Mapping[str, list[dict[str, Any]]] = {
    "/v1/documents": [{"params": {"batch": "{batch_id}"}, "content": b"mine"}],
    "/v1/documents/bulk": [
        {"json": {"action": "delete", "documents": ["{document_id}"]}},
        {"json": {"action": "retry", "documents": ["{document_id}"]}},
        {"json": {"action": "readers", "documents": ["{document_id}"], "readers": None}},
        {"json": {"action": "move", "documents": ["{document_id}"], "collection": "default"}},
        {"json": {"action": "delete", "matching": {"collection": "secrets", "batch": "{batch_id}"}}},
    ],
    "/v1/documents/bulk/plan": [{"json": {"action": "delete", "documents": ["{document_id}"]}}],
    "/v1/documents/from-url": [],
    "/v1/sources": [],
    "/v1/sources/check": [],
    "/v1/batches": [],
    "/v1/uploads": [{"headers": {**TUS, "Upload-Length": "9", "Upload-Metadata": "batch {batch_64}"}}],
    "/v1/collections": [],
    "/v1/files": [],
    "/v1/vector_stores": [{"json": {"name": "mine", "file_ids": ["{file_id}"]}}],
    "/v1/search": [{"json": {"query": "quokka", "documents": ["{document_id}"], "collections": ["secrets"]}}],
    "/v1/answers": [
        {"json": {"question": "When is the quokka?", "conversation": "{conversation_id}"}},
        {"json": {"question": "When is the quokka?", "documents": ["{document_id}"]}},
    ],
    "/v1/answers/estimate": [{"json": {"question": "When is the quokka?", "documents": ["{document_id}"]}}],
    "/v1/suggestions": [
        {"json": {"answer": "{answer_id}"}},
        {"json": {"documents": ["{document_id}"]}},
        {"json": {"collections": ["secrets"]}},
    ],
    "/v1/chat/completions": [
        {"json": {"model": "leadline", "messages": MESSAGES, "leadline": {"documents": ["{document_id}"]}}},
        {"json": {"model": "leadline/secrets", "messages": MESSAGES}},
    ],
    "/v1/responses": [
        {"json": {"model": "leadline", "input": "When is the quokka?", "previous_response_id": "{response_id}"}},
        {"json": {"model": "leadline", "input": MESSAGES, "leadline": {"documents": ["{document_id}"]}}},
        {
            "json": {
                "model": "leadline",
                "input": "When is the quokka?",
                "tools": [{"type": "file_search", "vector_store_ids": ["secrets"]}],
            }
        },
    ],
    "/v1/responses/input_tokens": [
        {"json": {"input": "When is the quokka?", "previous_response_id": "{response_id}"}},
        {"json": {"input": "When is the quokka?", "conversation": "conv_{conversation_id}"}},
    ],
    "/v1/conversations": [],
    "/v1/embeddings": [],
    "/v1/keys": [{"json": {"name": "mine", "scopes": ["read"], "user": "{user_id}"}}],
    "/v1/shares": [{"json": {"conversation": "{conversation_id}"}}, {"json": {"run": "{run_id}"}}],
    "/v1/users": [],
    "/v1/webhooks": [],
    "/v1/sign-out": [],
    "/v1/slack/check": [],
}


def test_naming_anothers_in_a_body_finds_nothing(service: tuple[Services, Client], other_tenant: Outside) -> None:
    services, client = service
    posted = {path for method, path in routes(services) if method == "POST" and "{" not in path}
    assert posted == set(NAMED_IN_BODIES), "the isolation matrix does not know what this route's body may name"
    for path, requests in NAMED_IN_BODIES.items():
        for request in requests:
            answers = []
            for ids in (other_tenant.ids, nobodys(other_tenant)):
                written = json.dumps({name: value for name, value in request.items() if name != "content"})
                written = written.replace("{batch_64}", b64encode(ids["batch_id"].encode()).decode())
                for name, value in ids.items():
                    written = written.replace("{" + name + "}", value)
                sent = {**json.loads(written), **({"content": request["content"]} if "content" in request else {})}
                headers = {**other_tenant.headers, **sent.pop("headers", {})}
                found = client.http.post(path, headers=headers, **sent)
                assert "begins in spring" not in found.text
                answers.append((found.status_code, found.json().get("code"), len(found.json().get("hits", []))))
            assert answers[0] == answers[1], f"POST {path} {request}"


def test_anothers_file_goes_into_no_store_of_ones_own(service: tuple[Services, Client], other_tenant: Outside) -> None:
    _, client = service
    headers = other_tenant.headers
    mine = client.http.post("/v1/vector_stores", json={}, headers=headers).json()["id"]
    refused, failed = [], []
    for identifier in (other_tenant.ids["file_id"], UNKNOWN):
        told = client.http.post(f"/v1/vector_stores/{mine}/files", json={"file_id": identifier}, headers=headers)
        refused.append((told.status_code, told.json()["detail"].replace(identifier, "<id>")))
        sent = {"file_ids": [identifier]}
        batch = client.http.post(f"/v1/vector_stores/{mine}/file_batches", json=sent, headers=headers).json()
        shown = client.http.get(f"/v1/batches/{batch['id']}/failures", headers=headers).text
        failed.append((batch["status"], batch["file_counts"], shown.replace(identifier, "<id>")))
    assert refused[0] == refused[1]
    assert refused[0][0] == 404
    assert failed[0] == failed[1]
    assert (failed[0][1]["failed"], failed[0][1]["total"]) == (1, 1)
    assert client.http.get(f"/v1/vector_stores/{mine}/files", headers=headers).json()["data"] == []
    client.http.delete(f"/v1/vector_stores/{mine}", headers=headers).raise_for_status()


def test_an_operators_key_without_other_scopes_reads_no_tenants_documents(
    service: tuple[Services, Client], other_tenant: Outside
) -> None:
    services, client = service
    _, key = services.keys.issue_key(DEFAULT_TENANT, "operator", scopes=[Scope.OPERATOR])
    for method, path in routes(services):
        if path in ("/v1/me", "/v1/session", "/v1/sign-out"):  # for whoever has a valid key
            continue
        ids = other_tenant.ids
        found = client.http.request(method, path.format(**ids), headers={"Authorization": f"Bearer {key}"})
        assert found.status_code == 403, f"{method} {path}"
