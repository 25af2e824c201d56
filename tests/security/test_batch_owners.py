"""A batch is its maker's: others of the tenant see neither names nor counts of its files, and cannot end it."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from tests.support.people import People, asked_by_people
from tests.support.service import running

Asked = tuple[TestClient, People]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with running(tmp_path_factory.mktemp("home")) as (services, _), asked_by_people(services) as asked:
        yield asked


def made(http: TestClient, headers: dict[str, str], name: str) -> str:
    """A batch with a document that only eve may read."""
    batch = str(http.post("/v1/batches", json={"name": name}, headers=headers).json()["id"])
    params = {"batch": batch, "readers": "user:eve", "name": f"{name}.txt"}
    assert http.post("/v1/documents", params=params, content=name.encode(), headers=headers).status_code == 202
    return batch


def test_others_neither_see_a_batch_nor_end_it_and_admins_do(asked: Asked) -> None:
    http, people = asked
    batch = made(http, people.of("eve"), "salaries")
    for person in ("bob", "robot"):
        of = people.of(person)
        for method, path in (
            ("GET", f"/v1/batches/{batch}"),
            ("GET", f"/v1/batches/{batch}/events"),
            ("GET", f"/v1/batches/{batch}/failures"),
            ("GET", f"/v1/documents?batch={batch}"),
            ("POST", f"/v1/batches/{batch}/close"),
            ("POST", f"/v1/batches/{batch}/cancel"),
        ):
            refused = http.request(method, path, headers=of)
            assert (refused.status_code, refused.json()["code"]) == (404, "batch_not_found"), (person, method, path)
        assert "salaries" not in http.get("/v1/batches", headers=of).text
    shown = http.get(f"/v1/batches/{batch}", headers=people.of("admin")).json()
    assert (shown["counts"]["received"], shown["closed_at"]) == (1, None)
    assert "salaries" in http.get("/v1/batches", headers=people.of("eve")).text
    assert http.post(f"/v1/batches/{batch}/close", headers=people.of("eve")).json()["closed_at"] is not None


def test_a_colleague_who_is_told_the_id_sends_files_into_a_batch(asked: Asked) -> None:
    http, people = asked
    batch = made(http, people.of("eve"), "shared")
    sent = http.post("/v1/documents", params={"batch": batch}, content=b"Bob's part.", headers=people.of("bob"))
    assert sent.status_code == 202
    assert http.get(f"/v1/batches/{batch}", headers=people.of("eve")).json()["counts"]["received"] == 2


def test_a_batch_of_a_vector_store_is_its_makers_too(asked: Asked) -> None:
    http, people = asked
    form = {"purpose": (None, b"assistants"), "file": ("a.txt", b"A file of eve's.")}
    file = http.post("/v1/files", files=form, headers=people.of("eve")).json()["id"]
    store = http.post("/v1/vector_stores", json={"name": "papers"}, headers=people.of("eve")).json()["id"]
    path = f"/v1/vector_stores/{store}/file_batches"
    batch = http.post(path, json={"file_ids": [file]}, headers=people.of("eve")).json()["id"]
    assert http.get(f"{path}/{batch}", headers=people.of("eve")).status_code == 200
    for method, of_batch in (
        ("GET", f"{path}/{batch}"),
        ("GET", f"{path}/{batch}/files"),
        ("POST", f"{path}/{batch}/cancel"),
    ):
        assert http.request(method, of_batch, headers=people.of("bob")).status_code == 404
