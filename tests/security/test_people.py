"""People who sign in with an identity provider: who is stored, and who may see it. A real issuer over HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.accounts.oidc import OidcTokenChecker
from api.main import create_app
from ingest.storage.accounts.records import Principal, Profile, Scope
from tests.support.asking import AskedApi, asked_api
from tests.support.issuer import AUDIENCE, CLIENT_SECRET, Issuer, running_issuer

EVE: dict[str, Any] = {"sub": "id-1", "name": "Eve Adams", "email": "eve@example.org", "email_verified": True}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as made:
        yield made


@pytest.fixture
def api(tmp_path: Path, issuer: Issuer) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as made:
        changed = {
            "oidc_issuer": issuer.url,
            "oidc_audience": AUDIENCE,
            "oidc_tenant": "ann",
            "oidc_client_id": "portal",
            "oidc_client_secret": CLIENT_SECRET,
        }
        settings = type(made.services.settings).model_validate(
            {"home": made.services.settings.home, "llm": "none", **changed}
        )
        made.services.settings = settings
        made.services.admission = replace(
            made.services.admission, tokens=OidcTokenChecker(settings, made.services.accounts)
        )
        yield made


def signed_in(api: AskedApi, issuer: Issuer, **claims: object) -> TestClient:
    """A browser in which somebody with these claims has signed in with the provider."""
    http = TestClient(create_app(api.services), base_url="http://127.0.0.1", follow_redirects=False)
    come = http.get(issuer.consent(http.get("/sign-in/provider").headers["location"], **claims))
    assert come.status_code == 303, come.text
    return http


def key_of(api: AskedApi, *scopes: Scope, tenant: str = "ann") -> dict[str, str]:
    return {"Authorization": f"Bearer {api.services.keys.issue_key(tenant, 'a key', scopes=scopes)[1]}"}


def test_a_sign_in_stores_the_id_the_name_and_the_address_and_the_portal_greets_by_name(
    api: AskedApi, issuer: Issuer
) -> None:
    http = signed_in(api, issuer, **EVE)
    me = http.get("/v1/me").json()
    assert (me["user"], me["name"]) == ("id-1", "Eve Adams")
    assert "<dd>Eve Adams</dd>" in http.get("/library").text
    (eve,) = http.get("/v1/people", headers=key_of(api, Scope.READ, Scope.ADMIN)).json()["people"]
    signed_in_at = eve.pop("signed_in_at")
    assert eve == {
        "user": "id-1", "name": "Eve Adams", "mail": "eve@example.org", "mail_verified": True, "groups": ["hr"],
    }  # fmt: skip
    signed_in(api, issuer, **{**EVE, "name": "Eve Brown", "email_verified": False, "groups": []})
    (eve,) = http.get("/v1/people", headers=key_of(api, Scope.READ, Scope.ADMIN)).json()["people"]
    assert eve.pop("signed_in_at") > signed_in_at
    assert eve == {
        "user": "id-1", "name": "Eve Brown", "mail": "eve@example.org", "mail_verified": False, "groups": [],
    }  # fmt: skip


def test_a_token_that_starts_a_session_stores_its_person_and_one_that_asks_does_not(
    api: AskedApi, issuer: Issuer
) -> None:
    http = TestClient(create_app(api.services), base_url="http://127.0.0.1")
    token = issuer.token(header_typ="at+jwt", **EVE)
    assert http.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).json()["name"] == "Eve Adams"
    assert api.services.accounts.people.list_people("ann") == []
    assert http.post("/v1/sign-in", json={"key": token}, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert [each.user for each in api.services.accounts.people.list_people("ann")] == ["id-1"]


def test_a_reader_gets_names_of_ids_and_only_those_who_share_get_addresses_and_the_list(
    api: AskedApi, issuer: Issuer
) -> None:
    http = signed_in(api, issuer, **EVE)
    reader, sharer = key_of(api, Scope.READ), key_of(api, Scope.READ, Scope.WRITE)
    refused = http.get("/v1/people", params={"query": "eve"}, headers=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
    named = http.get("/v1/people", params={"user": ["id-1", "id-2"]}, headers=reader).json()["people"]
    assert [(each["name"], each["mail"], each["groups"], each["signed_in_at"]) for each in named] == [
        ("Eve Adams", None, None, None)
    ]
    found = http.get("/v1/people", params={"query": "eve@"}, headers=sharer).json()["people"]
    assert [(each["mail"], each["groups"], each["signed_in_at"]) for each in found] == [("eve@example.org", None, None)]


def test_another_tenant_finds_nobody_by_id_name_or_address(api: AskedApi, issuer: Issuer) -> None:
    http = signed_in(api, issuer, **EVE)
    admin = key_of(api, Scope.READ, Scope.WRITE, Scope.ADMIN, tenant="bob")
    for params in ({"user": "id-1"}, {"query": "eve"}, {"query": "eve@example.org"}, {}):
        assert http.get("/v1/people", params=params, headers=admin).json()["people"] == []
    assert http.get("/v1/groups", headers=admin).json()["groups"] == []


def test_pages_of_people_lead_to_everybody(api: AskedApi) -> None:
    for at in range(5):
        profile = Profile("Eve", f"eve{at}@example.org", True)
        person = Principal("ann", None, "Eve", user=f"id-{at}", profile=profile)
        api.services.accounts.people.record_sign_in(person, groups_seconds=60)
    http, headers = TestClient(create_app(api.services)), key_of(api, Scope.READ, Scope.ADMIN)
    seen, cursor = [], None
    while True:
        page = http.get("/v1/people", params={"limit": 2} | ({"cursor": cursor} if cursor else {}), headers=headers)
        seen += [each["user"] for each in page.json()["people"]]
        if not (cursor := page.json()["next_cursor"]):
            break
    assert seen == [f"id-{at}" for at in range(5)]


def test_the_audit_log_and_its_export_name_people_beside_their_ids(api: AskedApi, issuer: Issuer) -> None:
    http = signed_in(api, issuer, **EVE)
    admin = key_of(api, Scope.READ, Scope.ADMIN)
    granted = http.put("/v1/collections/c/grants/user:id-1", json={"role": "reader"}, headers=admin)
    assert granted.status_code == 200
    page = http.get("/v1/audit", headers=admin).json()
    assert page["names"]["user:id-1"] == "Eve Adams"
    lines = [line for line in http.get("/v1/audit/export", headers=admin).text.splitlines() if "id-1" in line]
    assert len(lines) == 2  # the sign-in, and the grant
    assert all('"names": {"user:id-1": "Eve Adams"}' in line for line in lines)


def test_a_reader_that_is_nobody_or_several_people_is_refused_with_the_next_step(api: AskedApi, issuer: Issuer) -> None:
    http = signed_in(api, issuer, **EVE)
    signed_in(api, issuer, sub="id-2", name="EVE adams", email="boss@example.org")
    admin = key_of(api, Scope.READ, Scope.WRITE, Scope.ADMIN)
    for entry, code in (
        ("Eve Adams", "person_ambiguous"),
        ("boss@example.org", "person_unknown"),
        ("Nobody", "person_unknown"),
        ("team:x", "metadata_invalid"),
    ):
        refused = http.post(
            "/v1/documents", params={"name": "a.md", "readers": [entry]}, content=b"a", headers=admin
        ).json()
        assert (refused["code"], refused["status"]) == (code, 422)
        assert refused["hint"]
    assert http.get("/v1/documents", headers=admin).json()["documents"] == []
