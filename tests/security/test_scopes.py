"""Every route declares the scope that it needs, and refuses who does not have it: generated from the routes."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.admission.access import ScopeRequirement
from api.main import create_app
from ingest.storage.accounts.records import Role, Scope
from tests.support.asking import AskedApi, asked_api
from tests.support.routes import api_routes

# What answers without a key; `/metrics` has a token of its own.
PUBLIC = {
    *("/health/live", "/health/ready", "/problems/{code}", "/metrics", "/docs", "/v1/sign-in"),
    "/v1/back-channel-logout",
    # Pages of the portal hold nothing of a tenant: their modules ask the API.
    *(
        "/",
        "/sign-in",
        "/sign-in/provider",
        "/library",
        "/library/{document_id}",
        "/ask",
        "/ask/{conversation_id}",
        "/runs",
        "/runs/{run_id}",
        "/shared/{share_id}",
        "/usage",
        "/keys",
        "/people",
        "/audit",
        "/sources",
        "/feedback",
        "/settings",
        "/slack",
        "/portal/texts/{language}/of/settings.js",
        "/portal/texts/{language}/{entry}.js",
    ),
}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskedApi]:
    with asked_api(tmp_path_factory.mktemp("home")) as made:
        yield made


def routes(app: FastAPI) -> list[tuple[str, APIRoute]]:
    found = api_routes(app)
    assert len(found) > 40
    return found


def declared(route: APIRoute) -> list[ScopeRequirement]:
    def of(dependant: Any) -> Iterator[ScopeRequirement]:  # noqa: ANN401 - FastAPI's own tree
        if isinstance(dependant.call, ScopeRequirement):
            yield dependant.call
        for inner in dependant.dependencies:
            yield from of(inner)

    return list(of(route.dependant))


def test_every_route_but_the_public_ones_declares_a_scope(api: AskedApi) -> None:
    undeclared = {route.path for _, route in routes(create_app(api.services)) if not declared(route)}
    assert undeclared == PUBLIC


def test_every_route_refuses_a_key_with_all_scopes_but_its_own_and_names_it(api: AskedApi) -> None:
    seen = set[Scope]()
    for method, route in routes(create_app(api.services)):
        for needed in declared(route):
            if not needed.scopes:
                continue
            others = set(Scope) - set(needed.scopes)
            _, key = api.services.keys.issue_key("ann", "all but one", scopes=others)
            path = re.sub(r"\{\w+\}", "x", route.path)
            found = api.http.request(method, path, headers={"Authorization": f"Bearer {key}"})
            assert found.status_code == 403, (method, path, found.text)
            if method == "HEAD":  # it has no body that could name the scope
                continue
            assert found.json()["code"] == "scope_missing", (method, path, found.text)
            assert f"`{needed.scopes[0]}`" in found.json()["detail"]
            seen.update(needed.scopes)
    assert seen == set(Scope)


def test_without_a_key_every_route_but_the_public_ones_answers_401(api: AskedApi) -> None:
    for method, route in routes(create_app(api.services)):
        if route.path not in PUBLIC:
            path = re.sub(r"\{\w+\}", "x", route.path)
            assert api.http.request(method, path, headers={"Authorization": ""}).status_code == 401, (method, path)


def headers(api: AskedApi, *scopes: Scope, user: str | None = None, tenant: str = "ann") -> dict[str, str]:
    return {"Authorization": f"Bearer {api.services.keys.issue_key(tenant, 'a key', scopes=scopes, user=user)[1]}"}


def test_a_rewriting_search_needs_the_scope_that_spends(api: AskedApi) -> None:
    body = {"query": "whales", "rewrite": "hyde"}
    found = api.http.post("/v1/search", json=body, headers=headers(api, Scope.READ))
    assert (found.status_code, found.json()["code"]) == (403, "scope_missing")


def test_an_admin_makes_keys_and_users_of_its_tenant_and_nobody_else_does(api: AskedApi) -> None:
    admin = headers(api, Scope.ADMIN)
    user = api.http.post("/v1/users", json={"name": "anna", "groups": ["hr"]}, headers=admin)
    assert user.status_code == 201
    made = api.http.post("/v1/keys", json={"name": "phone", "scopes": ["read"], "user": "anna"}, headers=admin).json()
    hers = {"Authorization": f"Bearer {made['key']}"}
    me = api.http.get("/v1/me", headers=hers).json()
    assert (me["tenant"], me["user"], me["groups"], me["scopes"]) == ("ann", "anna", ["hr"], ["read"])
    assert api.http.get("/v1/keys", headers=hers).status_code == 403
    listed = api.http.get("/v1/keys", params={"limit": 500}, headers=admin).json()["keys"]
    assert made["id"] in {key["id"] for key in listed}
    assert all("key" not in key for key in listed)
    changed = api.http.patch(f"/v1/keys/{made['id']}", json={"scopes": ["ask"]}, headers=admin)
    assert changed.json()["scopes"] == ["ask"]
    assert api.http.get("/v1/me", headers=hers).json()["scopes"] == ["ask"]
    rotated = api.http.post(f"/v1/keys/{made['id']}/rotate", json={"grace_seconds": 0}, headers=admin).json()
    assert api.http.get("/v1/me", headers=hers).status_code == 401
    hers = {"Authorization": f"Bearer {rotated['key']}"}
    assert api.http.get("/v1/me", headers=hers).json()["user"] == "anna"
    assert api.http.delete("/v1/users/anna", headers=admin).status_code == 204
    assert api.http.get("/v1/me", headers=hers).status_code == 401


def test_an_admin_who_is_a_user_gets_no_key_that_reads_every_document(api: AskedApi) -> None:
    api.services.accounts.users.create("ann", "olga", [])
    everything = headers(api, Scope.ADMIN)
    _, secret = api.services.keys.issue_key("ann", "olga", scopes=[Scope.ADMIN, Scope.READ], user="olga")
    hers = {"Authorization": f"Bearer {secret}"}
    refused = api.http.post("/v1/keys", json={"name": "all", "scopes": ["admin", "read"]}, headers=hers)
    assert refused.status_code == 403
    assert refused.json()["code"] == "key_needs_user"
    harmless = api.http.post("/v1/keys", json={"name": "reader", "scopes": ["read"]}, headers=hers)
    path = f"/v1/keys/{harmless.json()['id']}"
    changed = api.http.patch(path, json={"scopes": ["admin"]}, headers=hers)
    assert (changed.status_code, changed.json()["code"]) == (403, "key_needs_user")
    assert api.http.patch(path, json={"scopes": ["admin", "read"]}, headers=everything).status_code == 200
    assert api.http.post(f"{path}/rotate", headers=hers).json()["code"] == "key_needs_user"
    own = {"name": "mine", "scopes": ["admin", "read"], "user": "olga"}
    assert api.http.post("/v1/keys", json=own, headers=hers).status_code == 201


def test_only_an_operator_makes_tenants_and_operators(api: AskedApi) -> None:
    admin, operator = headers(api, Scope.ADMIN), headers(api, Scope.OPERATOR)
    refused = api.http.post("/v1/keys", json={"name": "mine", "scopes": ["operator"]}, headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    key = api.services.keys.issue_key("ann", "runs it", scopes=[Scope.OPERATOR])[0]
    assert api.http.post(f"/v1/keys/{key.id}/rotate", headers=admin).status_code == 403
    assert api.http.patch(f"/v1/keys/{key.id}", json={"scopes": ["operator"]}, headers=admin).status_code == 403
    tenant = api.http.post("/v1/admin/tenants", json={"name": "acme"}, headers=operator).json()
    again = api.http.post("/v1/admin/tenants", json={"name": "acme"}, headers=operator)
    assert (again.status_code, again.json()["code"]) == (409, "name_taken")
    path = f"/v1/admin/tenants/{tenant['id']}"
    made = api.http.post(f"{path}/keys", json={"name": "first", "scopes": ["admin"]}, headers=operator).json()
    first = {"Authorization": f"Bearer {made['key']}"}
    assert api.http.get("/v1/me", headers=first).json()["tenant"] == tenant["id"]
    api.http.patch(path, json={"suspended": True}, headers=operator)
    assert api.http.get("/v1/me", headers=first).status_code == 401
    api.http.patch(path, json={"suspended": False, "name": "acme & sons"}, headers=operator)
    assert api.http.get("/v1/me", headers=first).status_code == 200
    names = [each["name"] for each in api.http.get("/v1/admin/tenants", headers=operator).json()["tenants"]]
    assert "acme & sons" in names


def test_listings_of_identities_have_pages(api: AskedApi) -> None:
    admin = headers(api, Scope.ADMIN, tenant="bob")
    for name in ("carol", "dave", "erin"):
        api.http.post("/v1/users", json={"name": name}, headers=admin)
    first = api.http.get("/v1/users", params={"limit": 2}, headers=admin).json()
    rest = api.http.get("/v1/users", params={"cursor": first["next_cursor"]}, headers=admin).json()
    assert [user["name"] for user in (*first["users"], *rest["users"])] == ["carol", "dave", "erin"]
    assert rest["next_cursor"] is None
    wrong = api.http.get("/v1/users", params={"cursor": "%%"}, headers=admin)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_request")
    page = api.http.get("/v1/keys", params={"limit": 1}, headers=admin).json()
    following = api.http.get("/v1/keys", params={"limit": 1, "cursor": page["next_cursor"]}, headers=admin).json()
    assert following["keys"][0]["id"] != page["keys"][0]["id"]


def test_a_collections_admin_manages_its_grants_and_a_reader_does_not(api: AskedApi) -> None:
    for name in ("lena", "ludo"):
        api.services.accounts.users.create("ann", name)
    owner, reader, other = (
        headers(api, Scope.READ, Scope.WRITE, user="lena"),
        headers(api, Scope.READ, Scope.WRITE, user="ludo"),
        headers(api, Scope.READ, Scope.WRITE),
    )
    api.services.accounts.grants.grant_role("ann", "plans", "user:lena", Role.ADMIN)
    path = "/v1/collections/plans/grants"
    assert api.http.get(path, headers=reader).status_code == 404
    given = api.http.put(f"{path}/user:ludo", json={"role": "reader"}, headers=owner)
    assert (given.status_code, given.json()["role"]) == (200, "reader")
    assert api.http.get(path, headers=reader).status_code == 403
    roles = {
        each["name"]: each["role"] for each in api.http.get("/v1/collections", headers=reader).json()["collections"]
    }
    assert roles["plans"] == "reader"
    assert "plans" not in api.http.get("/v1/collections", headers=other).text
    assert api.http.delete(f"{path}/user:ludo", headers=owner).status_code == 204
    last = api.http.delete(f"{path}/user:lena", headers=owner)
    assert (last.status_code, last.json()["code"]) == (409, "last_grant")
