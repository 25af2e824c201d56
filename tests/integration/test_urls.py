"""A URL becomes a document: the page is fetched from a real server, within the address checks of webhooks."""

from collections.abc import Iterator

import pytest

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client, RefusedError
from ingest.storage.accounts.records import Role, Scope
from tests.support.service import running
from tests.support.web_server import WebServer, open_web_server

PAGE = """<!DOCTYPE html><html><head><title>The whale</title></head><body><nav><a href="/">Home</a></nav>
<main><h1>The whale</h1><p>The blue whale has a heart of four hundred pounds, which is the largest of all.</p>
<p>It swims in all oceans, and eats krill, of which it needs some tons a day in summer.</p></main></body></html>"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home"), webhook_networks="127.0.0.1/32") as opened:
        yield opened


@pytest.fixture
def client(service: tuple[Services, Client]) -> Client:
    return service[1]


@pytest.fixture
def site() -> Iterator[WebServer]:
    with open_web_server() as server:
        yield server.add("/whale", PAGE).redirect("/moved", "/whale").add("/notes.txt", "Whale notes.", "text/plain")


def test_the_main_content_of_a_page_becomes_a_document_with_its_address(client: Client, site: WebServer) -> None:
    made = client.upload_url(f"{site.url}/moved", collection="pages", metadata={"year": 2026})
    assert (made.name, made.collection, made.duplicate) == ("moved.html", "pages", False)
    assert made.metadata == {"url": f"{site.url}/moved", "year": 2026}
    for state in client.follow_document(made.id):
        last = state
    assert last.state == "ready"
    text = client.text(made.id)
    assert "heart of four hundred pounds" in text
    assert "Home" not in text
    assert client.upload_url(f"{site.url}/whale", collection="pages").duplicate


def test_a_file_becomes_a_document_with_the_name_that_was_given(client: Client, site: WebServer) -> None:
    made = client.upload_url(f"{site.url}/notes.txt", name="My notes", readers=["user:ann"])
    assert (made.name, made.readers) == ("My notes", ["user:ann"])


def test_each_reason_why_an_address_gives_no_document_is_named(client: Client, site: WebServer) -> None:
    site.add("/empty.txt", "", "text/plain").add("/film", b"\0" * 99, "video/mp4").add("/closed", "no", status=403)
    before = len(list(client.documents()))
    for path, status, code in (
        ("/missing", 422, "source_item_refused"),
        ("/closed", 422, "source_item_refused"),
        ("/film", 422, "source_item_refused"),
        ("/empty.txt", 422, "empty_file"),
    ):
        with pytest.raises(RefusedError) as refused:
            client.upload_url(f"{site.url}{path}")
        assert (refused.value.status, refused.value.problem) == (status, code), path
    with pytest.raises(RefusedError, match="is not the address of a web page"):
        client.upload_url("ftp://example.org/a")
    site.stop()
    reply = client.http.post("/v1/documents/from-url", json={"url": f"{site.url}/whale"})
    assert (reply.status_code, reply.json()["code"]) == (502, "source_unavailable")
    assert len(list(client.documents())) == before


def test_private_addresses_are_refused_before_and_after_redirects(client: Client, site: WebServer) -> None:
    site.redirect("/away", "http://127.0.0.2:9/secrets")
    for url in ("https://127.0.0.2/secrets", "https://10.1.2.3/", f"{site.url}/away"):
        with pytest.raises(RefusedError) as refused:
            client.upload_url(url)
        assert refused.value.problem in ("source_not_permitted", "source_refused"), url
        assert "not a public address" in refused.value.detail


def test_rights_and_quotas_are_checked_before_a_request_is_sent(
    service: tuple[Services, Client], site: WebServer
) -> None:
    services, client = service
    _, reader = services.keys.issue_key(DEFAULT_TENANT, "a reader", scopes=frozenset({Scope.READ}))
    services.accounts.grants.grant_role(DEFAULT_TENANT, "closed", "user:ann", Role.READER)
    _, writer = services.keys.issue_key(DEFAULT_TENANT, "a writer", scopes=frozenset({Scope.READ, Scope.WRITE}))
    for key, collection, status in ((reader, "default", 403), (writer, "closed", 404)):
        reply = client.http.post(
            "/v1/documents/from-url",
            json={"url": f"{site.url}/whale", "collection": collection},
            headers={"Authorization": f"Bearer {key}"},
        )
        assert reply.status_code == status
    assert not site.requests
