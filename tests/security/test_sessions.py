"""Sessions of the portal over HTTP: who may begin one, what a cookie can do, and what another site cannot."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.portal.rendering import HEADERS
from ingest.storage.accounts.records import Scope
from tests.security.test_scopes import PUBLIC
from tests.support.asking import AskedApi, asked_api
from tests.support.catalogs import arrive
from tests.support.routes import api_routes

HERE = "http://127.0.0.1"
_MANAGE = ("/usage", "/keys", "/people", "/sources", "/audit", "/feedback", "/settings", "/slack")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as made:
        yield made


def browser(api: AskedApi, base: str = HERE) -> TestClient:
    """A client without a key, that keeps cookies."""
    return TestClient(create_app(api.services), base_url=base, follow_redirects=False)


def signed_in(api: AskedApi, base: str = HERE, *, key: str | None = None) -> TestClient:
    http = browser(api, base)
    presented = key or str(api.headers["Authorization"]).removeprefix("Bearer ")
    session = http.post("/v1/sign-in", json={"key": presented})
    assert session.status_code == 200, session.text
    http.headers["X-CSRF-Token"] = session.json()["csrf"]
    return http


def test_a_key_begins_a_session_with_the_rights_of_the_key(api: AskedApi) -> None:
    _, key = api.services.keys.issue_key("ann", "reads", scopes=[Scope.READ])
    http = signed_in(api, key=key)
    assert http.get("/v1/me").json()["name"] == "reads"
    assert http.get("/v1/session").json()["principal"]["scopes"] == ["read"]
    assert http.get("/v1/keys").json()["code"] == "scope_missing"
    assert http.post("/v1/answers", json={"question": "Why?"}).json()["code"] == "scope_missing"


def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites_and_has_the_host_prefix_over_https(
    api: AskedApi,
) -> None:
    def cookie(base: str) -> str:
        presented = str(api.headers["Authorization"]).removeprefix("Bearer ")
        return browser(api, base).post("/v1/sign-in", json={"key": presented}).headers["set-cookie"]

    plain = cookie(HERE)
    assert plain.startswith("leadline=")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(plain.split("; "))
    assert "Domain" not in plain
    api.services.settings = api.services.settings.model_copy(update={"public_url": "https://docs.example.org"})
    secure = cookie("https://docs.example.org")
    assert secure.startswith("__Host-leadline=")
    assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} <= set(secure.split("; "))
    assert "Domain" not in secure


@pytest.mark.parametrize("base", ["http://10.0.0.7", "http://docs.example.org", "http://127.0.0.1.example.org"])
def test_nobody_signs_in_over_a_connection_that_others_can_read(api: AskedApi, base: str) -> None:
    presented = str(api.headers["Authorization"]).removeprefix("Bearer ")
    found = browser(api, base).post("/v1/sign-in", json={"key": presented})
    assert (found.status_code, found.json()["code"]) == (403, "https_required")
    assert "set-cookie" not in found.headers


def test_a_link_signs_in_once(api: AskedApi) -> None:
    key = api.services.keys.issue_key("ann", "portal")[0]
    ticket = api.services.accounts.sessions.issue_ticket("ann", key.id)
    http = browser(api)
    assert http.post("/v1/sign-in", json={"ticket": ticket}).status_code == 200
    assert http.get("/v1/me").json()["key"] == key.id
    again = browser(api).post("/v1/sign-in", json={"ticket": ticket})
    assert (again.status_code, again.json()["code"]) == (401, "unauthorized")
    assert "leadline sign-in" in again.json()["hint"]


@pytest.mark.parametrize("wrong", [{"key": "ll_no_key"}, {"ticket": "none"}, {"key": "ll_x_y", "ticket": "z"}, {}])
def test_what_is_no_key_or_ticket_begins_nothing(api: AskedApi, wrong: dict[str, str]) -> None:
    found = browser(api).post("/v1/sign-in", json=wrong)
    assert found.status_code in (401, 422)
    assert "set-cookie" not in found.headers


def test_what_changes_something_needs_the_token_of_the_session(api: AskedApi) -> None:
    http, other = signed_in(api), signed_in(api)
    right = http.headers.pop("X-CSRF-Token")
    for token in (None, "", other.headers["X-CSRF-Token"], right[:-1]):
        headers = {} if token is None else {"X-CSRF-Token": token}
        found = http.post("/v1/batches", json={}, headers=headers)
        assert (found.status_code, found.json()["code"]) == (403, "foreign_request"), token
    assert http.get("/v1/batches").json()["batches"] == []
    assert http.post("/v1/batches", json={}, headers={"X-CSRF-Token": right}).status_code == 201


def test_no_route_that_changes_something_is_reached_by_a_cookie_alone(api: AskedApi) -> None:
    http = signed_in(api)
    del http.headers["X-CSRF-Token"]
    tried = 0
    for method, route in api_routes(create_app(api.services)):
        if method in ("POST", "PUT", "PATCH", "DELETE") and route.path not in PUBLIC:
            found = http.request(method, re.sub(r"\{\w+\}", "x", route.path))
            assert (found.status_code, found.json()["code"]) == (403, "foreign_request"), (method, route.path)
            tried += 1
    assert tried > 20


@pytest.mark.parametrize(
    "sent",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
    ],
)
def test_a_page_of_another_site_begins_and_changes_nothing(api: AskedApi, sent: dict[str, str]) -> None:
    http = signed_in(api)
    assert http.post("/v1/batches", json={}, headers=sent).json()["code"] == "foreign_request"
    key = {"key": str(api.headers["Authorization"]).removeprefix("Bearer ")}
    assert browser(api).post("/v1/sign-in", json=key, headers=sent).json()["code"] == "foreign_request"
    assert http.post("/v1/batches", json={}, headers={"Origin": HERE, "Sec-Fetch-Site": "same-origin"}).is_success


def test_signing_out_ends_the_session_here_or_everywhere(api: AskedApi) -> None:
    here, there, stays = signed_in(api), signed_in(api), signed_in(api, key=api.services.keys.issue_key("ann", "x")[1])
    kept = dict(here.cookies)
    gone = here.post("/v1/sign-out", json={})
    assert gone.status_code == 204
    assert 'leadline=""' in gone.headers["set-cookie"]
    assert here.get("/v1/me", headers={"Cookie": f"leadline={kept['leadline']}"}).status_code == 401
    assert there.get("/v1/me").status_code == 200
    third = signed_in(api)
    assert third.post("/v1/sign-out", json={"everywhere": True}).status_code == 204
    assert there.get("/v1/me").status_code == 401
    assert stays.get("/v1/me").status_code == 200


def test_a_key_in_the_header_goes_before_a_cookie_and_needs_no_token(api: AskedApi) -> None:
    http = signed_in(api)
    del http.headers["X-CSRF-Token"]
    assert http.get("/v1/me", headers=dict(api.stranger)).json()["tenant"] == "bob"
    assert http.post("/v1/batches", json={}, headers=dict(api.stranger)).status_code == 201
    assert http.get("/v1/me", headers={"Authorization": "Bearer ll_no_key"}).status_code == 401


def test_pages_hold_nothing_of_a_tenant_and_lead_strangers_to_sign_in(api: AskedApi) -> None:
    stranger, http = browser(api), signed_in(api)
    assert stranger.get("/").headers["location"] == "/sign-in"
    for path in ("/ask", "/ask/x", "/library", "/library/x", "/runs", "/runs/x", *_MANAGE):
        found = stranger.get(path)
        assert (found.status_code, found.headers["location"]) == (303, f"/sign-in?to={quote(path, safe='')}")
    assert stranger.get("/sign-in").status_code == 200
    for path in ("/ask", "/library"):
        assert http.get(path).status_code == 200
    ended = {"Cookie": "leadline=ended"}
    assert stranger.get("/library?x=1", headers=ended).headers["location"] == "/sign-in?to=%2Flibrary%3Fx%3D1"
    assert stranger.get("/v1/me", headers=ended).status_code == 401


def test_pages_run_and_load_files_of_their_own_alone(api: AskedApi) -> None:
    http = signed_in(api)
    document = arrive(api.services.documents.catalog).id
    pages = {"/sign-in", "/ask", "/library", f"/library/{document}", "/runs", *_MANAGE}
    lost = {"/nonsense", "/library/x", "/ask/x"}
    for path in pages | lost:
        found = http.get(path, headers={"Accept": "text/html"})
        assert found.status_code == (404 if path in lost else 200)
        policy = found.headers["content-security-policy"]
        assert policy == HEADERS["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert not re.search(r"https?:|\*|data:", policy)
        assert found.headers["referrer-policy"] == "no-referrer"
        assert found.headers["cache-control"] == "no-store"
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", found.text)
        for address in re.findall(r'(?:src|href)="([^"]*)"', found.text):
            assert re.match(r"#|/(?!/)", address), address


@pytest.mark.parametrize("value", ["x", "light dark", "<b>", ""])
def test_a_preference_with_an_unknown_value_has_no_effect(api: AskedApi, value: str) -> None:
    cookies = "; ".join(f"leadline-{name}={value}" for name in ("theme", "density", "language"))
    served = browser(api).get("/sign-in", headers={"Cookie": cookies}).text
    assert '<html lang="en">' in served
    assert "<b>" not in served


def named(http: TestClient, page: str) -> dict[str, int]:
    """Get a page and every file that it or one of its modules names; how many bytes are sent of those it begins with.

    Modules that are loaded where they are needed, such as the one for formulas, count no bytes.
    """
    whole = http.get(page)
    assert whole.status_code == 200, page
    sizes, later = {page: whole.num_bytes_downloaded}, set()
    waiting = [(address, True) for address in re.findall(r'(?:src|href)="(/portal/assets/[^"#]*)', whole.text)]
    while waiting:
        address, begins = waiting.pop(0)
        if address in sizes or (address in later and not begins):
            continue
        found = http.get(address)
        assert found.status_code == 200, address
        if begins:
            sizes[address] = found.num_bytes_downloaded  # compressed, if it is sent so
        else:
            later.add(address)
        assert found.headers["cache-control"] == "no-cache"
        assert found.headers["x-content-type-options"] == "nosniff"
        if address.endswith(".js"):
            assert found.headers["content-type"].startswith("text/javascript")
            imported = re.findall(r"from '\./([\w.]+)'|import '\./([\w.]+)'", found.text)
            on_demand = re.findall(r"import\('\./([\w./]+)'", found.text)
            waiting += [(f"/portal/assets/{''.join(names)}", begins) for names in imported]
            waiting += [(f"/portal/assets/{name}", False) for name in on_demand]
    return sizes


def test_every_file_that_a_page_or_a_module_names_is_served_and_no_page_has_over_150_kilobytes(api: AskedApi) -> None:
    http = signed_in(api)
    document = arrive(api.services.documents.catalog).id
    for page in ("/sign-in", "/ask", "/library", f"/library/{document}", "/runs", *_MANAGE):
        sizes = named(http, page)
        assert len(sizes) > 6, page
        assert sum(sizes.values()) < 150_000, (page, sizes)
