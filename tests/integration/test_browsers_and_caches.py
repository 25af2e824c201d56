"""Scripts of other origins, conditional requests, and links of citations that people open."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.settings.settings import Settings
from tests.support.cluster import wait_until
from tests.support.service import listening, running

ORIGIN = "https://app.example.org"
TEXT = "The tide turns at noon. The pier has forty posts."
CORS = "access-control-"
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = tmp_path_factory.mktemp("home")
    with (
        running(home, allowed_origins=f"{ORIGIN}, http://localhost:5173") as (services, client),
        listening(services) as (url, key),
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as http,
    ):
        made = client.upload(TEXT.encode(), name="tide.txt")
        wait_until(lambda: client.document(made.id).state == "ready", what="the document is ready")
        yield http


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> str:
    (found,) = http.get("/v1/documents").json()["documents"]
    return f"/v1/documents/{found['id']}"


def _ask_before(http: httpx.Client, origin: str) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
    asked["Access-Control-Request-Headers"] = "authorization, tus-resumable, upload-offset"
    return httpx.options(f"{http.base_url}/v1/uploads", headers=asked)


def test_an_allowed_origin_may_call_and_read_the_headers_of_uploads(http: httpx.Client) -> None:
    before = _ask_before(http, ORIGIN)
    assert before.status_code == 200
    assert before.headers[f"{CORS}allow-origin"] == ORIGIN
    assert "PATCH" in before.headers[f"{CORS}allow-methods"]
    sent = http.post("/v1/uploads", headers={"Origin": ORIGIN, "Tus-Resumable": "1.0.0", "Upload-Length": "3"})
    assert sent.status_code == 201
    assert {"Location", "Upload-Offset", "Tus-Resumable"} <= set(sent.headers[f"{CORS}expose-headers"].split(", "))
    refused = httpx.get(f"{http.base_url}/v1/documents", headers={"Origin": ORIGIN})
    assert (refused.status_code, refused.headers[f"{CORS}allow-origin"]) == (401, ORIGIN)


def test_no_origin_may_use_a_session(http: httpx.Client) -> None:
    assert f"{CORS}allow-credentials" not in _ask_before(http, ORIGIN).headers
    assert f"{CORS}allow-credentials" not in http.get("/v1/documents", headers={"Origin": ORIGIN}).headers


def test_another_origin_may_not_call(http: httpx.Client) -> None:
    assert _ask_before(http, "https://evil.example.org").status_code == 400
    assert (
        f"{CORS}allow-origin" not in http.get("/v1/documents", headers={"Origin": "https://evil.example.org"}).headers
    )


def test_no_origin_may_call_unless_it_is_set(tmp_path: Path) -> None:
    with running(tmp_path) as (services, _), listening(services) as (url, key):
        sent = httpx.get(f"{url}/v1/me", headers={"Origin": ORIGIN, "Authorization": f"Bearer {key}"})
    assert sent.status_code == 200
    assert not [name for name in sent.headers if name.startswith(CORS)]


@pytest.mark.parametrize("origin", ["app.example.org", "https://app.example.org/", "https://a@b", "ftp://a"])
def test_a_setting_that_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        Settings.model_validate({"allowed_origins": origin})


@pytest.mark.parametrize("path", ["", "/content?start=4&end=8", "/original"])
def test_content_that_a_client_has_is_not_sent_again(http: httpx.Client, document: str, path: str) -> None:
    whole = http.get(document + path)
    etag = whole.headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        again = http.get(document + path, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert http.get(document + path, headers={"If-None-Match": '"other"'}).content == whole.content


def test_an_error_is_never_unchanged(http: httpx.Client) -> None:
    assert http.get("/v1/documents/doc_missing", headers={"If-None-Match": "*"}).status_code == 404


@pytest.mark.parametrize("path", ["", "/content", "/original"])
def test_a_head_has_the_headers_of_the_content_and_no_body(http: httpx.Client, document: str, path: str) -> None:
    whole, head = http.get(document + path), http.head(document + path)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-length", "content-type"):
        assert head.headers[name] == whole.headers[name]


def test_a_citations_link_is_text_to_a_program_and_a_page_to_a_person(http: httpx.Client, document: str) -> None:
    link = f"{document}/content?start=4&end=8"
    page = f"/library/{document.rpartition('/')[2]}?start=4&end=8"
    assert http.get(link).text == http.get(link, headers=HTML).text == "tide"
    person = httpx.get(f"{http.base_url}{link}", headers=HTML)
    assert (person.status_code, person.headers["location"]) == (303, page)
    assert httpx.get(f"{http.base_url}{link}").json()["code"] == "unauthorized"
    signed_out = httpx.get(f"{http.base_url}{page}", headers=HTML)
    assert signed_out.headers["location"].startswith("/sign-in?to=%2Flibrary%2F")
