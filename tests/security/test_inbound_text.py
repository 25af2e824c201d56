"""Every text of every request, as the OpenAPI description has them, refuses what is no Unicode and what is NUL."""

import json
from collections.abc import Iterator

import httpx
import pytest

from api.admission.services import Services
from api.main import create_app
from tests.support.openapi import TextPlace, text_places
from tests.support.raw_http import answer, connected, head
from tests.support.service import listening, running

# As it stands in JSON, and in an URL.
BAD = {"surrogate": ("\ud800", "%ED%A0%80"), "nul": ("\0", "%00")}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, httpx.Client]]:
    with (
        running(tmp_path_factory.mktemp("home")) as (services, _),
        listening(services) as (url, key),
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as http,
    ):
        yield services, http


@pytest.fixture(scope="module")
def places(service: tuple[Services, httpx.Client]) -> list[TextPlace]:
    return [place for place in text_places(create_app(service[0]).openapi()) if place.path.startswith("/v1/")]


@pytest.mark.parametrize("bad", BAD)
def test_every_text_of_a_request_refuses_it_and_names_the_place(
    service: tuple[Services, httpx.Client], places: list[TextPlace], bad: str
) -> None:
    _, http = service
    assert {place.where for place in places} == {"path", "query", "header", "body"}
    assert len(places) >= 40
    wrong = {place.id: found for place in places if (found := refusal(http, place, *BAD[bad])) is not None}
    assert wrong == {}


def refusal(http: httpx.Client, place: TextPlace, text: str, quoted: str) -> str | None:
    """What is wrong with how the text is refused in this place; None if it is refused as it should be."""
    path = place.path
    for part in path.split("{")[1:]:
        name = part.split("}")[0]
        path = path.replace(f"{{{name}}}", quoted if (place.where, place.name) == ("path", (name,)) else "x")
    headers = {"Authorization": str(http.headers["Authorization"])}
    expected, content = place.where, b""
    if place.where == "query":
        path, expected = f"{path}?{place.name[0]}={quoted}", f"query.{place.name[0]}"
    elif place.where == "header":
        if text != "\0":
            return None  # a header is bytes, and has no surrogates
        headers[str(place.name[0])] = "a\0b"
    elif place.where == "body":
        expected = ".".join(["body", *map(str, place.name)])
        content = json.dumps(place.body(text)).encode()
        headers["Content-Type"] = "application/json"
    with connected(str(http.base_url)) as connection:
        connection.sendall(head(place.method, path, Content_Length=str(len(content)), **headers) + content)
        status, _, body = answer(connection)
    if place.where == "header":
        # The server may refuse such a header before it is a request.
        return None if status in (400, 422) else f"{status} {body}"
    found = (status, body.get("code"), body.get("errors", [{}])[0].get("at"))
    return None if found == (422, "invalid_request", expected) else f"{found} is not {expected}"


@pytest.mark.parametrize("bad", [b"\0", b"\xed\xa0\x80"], ids=["nul", "surrogate"])
@pytest.mark.parametrize("field", ["collection", "batch", "metadata", "filename"])
def test_every_text_of_a_form_refuses_it_and_stores_nothing(
    service: tuple[Services, httpx.Client], field: str, bad: bytes
) -> None:
    _, http = service
    if field == "filename" and bad != b"\0":
        pytest.skip("a name of a file in another encoding is shown with replacement characters")
    value = b'{"a": "' + bad + b'"}' if field == "metadata" else bad
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (field.encode(), value)
    name = b"a.md"
    if field == "filename":
        part, name = b"", b"a" + bad + b".md"
    file = b'--x\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\nwords\r\n--x--\r\n' % name
    response = http.post(
        "/v1/documents", content=part + file, headers={"Content-Type": "multipart/form-data; boundary=x"}
    )
    assert response.status_code in (400, 422), response.text
    assert http.get("/v1/documents").json()["documents"] == []
