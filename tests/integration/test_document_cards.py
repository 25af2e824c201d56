"""Document cards over HTTP: shown, changed by people, counted in facets and used in filters."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Role
from ingest.storage.documents.cards.records import CardField
from tests.support.cluster import wait_until
from tests.support.people import People, asked_by_people

ANY = {"If-Match": "*"}


@pytest.fixture
def asked(service: tuple[Services, Client]) -> Iterator[tuple[TestClient, People]]:
    with asked_by_people(service[0]) as found:
        yield found


def upload(client: Client, *names: str, **params: Any) -> list[str]:  # noqa: ANN401 - of a query
    """Upload small documents and wait until they are ready. Return their ids."""
    sent = [
        client.http.post(
            "/v1/documents", params={"name": f"{name}.txt", **params}, content=f"{name} is a ship.".encode()
        )
        for name in names
    ]
    wait_until(lambda: set(client.get("/v1/status")["documents"]) == {"ready"}, what="all are ready")
    return [each.json()["id"] for each in sent]


def set_card(client: Client, document: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - of a card
    changed = client.http.patch(f"/v1/documents/{document}/card", json=fields, headers=ANY)
    assert changed.status_code == 200, changed.text
    return dict(changed.json())


def find_names(client: Client, card: dict[str, Any]) -> list[str]:
    """Return the names of the listed documents, without their endings."""
    listed = client.get("/v1/documents", filters=json.dumps({"$card": card}))["documents"]
    return [each["name"].removesuffix(".txt") for each in listed]


def test_a_persons_fields_are_shown_with_their_origin_and_null_removes_them(service: tuple[Services, Client]) -> None:
    client = service[1]
    [document] = upload(client, "whale")
    before = client.get(f"/v1/documents/{document}")["card"]
    assert before["fields"].keys() == {each.value for each in CardField}
    assert "person" not in before["origins"].values()
    card = set_card(client, document, kind="logbook", subjects=["Ahab", "Pequod"], title="The Whale")
    assert card["fields"]["kind"] == "logbook"
    assert card["fields"]["subjects"] == ["Ahab", "Pequod"]
    assert {name for name, layer in card["origins"].items() if layer == "person"} == {"kind", "subjects", "title"}
    shown = client.get(f"/v1/documents/{document}")
    assert (shown["card"], shown["title"]) == (card, "The Whale")
    assert client.get("/v1/documents")["documents"][0]["card"] == card
    assert set_card(client, document, kind=None, subjects=None, title=None) == before


def test_a_card_is_changed_only_with_the_etag_of_its_document(service: tuple[Services, Client]) -> None:
    client = service[1].http
    [document] = upload(service[1], "whale")
    path = f"/v1/documents/{document}"
    tag = client.get(path).headers["ETag"]
    missing = client.patch(f"{path}/card", json={"kind": "logbook"})
    assert (missing.status_code, missing.json()["code"]) == (428, "precondition_required")
    changed = client.patch(f"{path}/card", json={"kind": "logbook"}, headers={"If-Match": tag})
    assert changed.headers["ETag"] == client.get(path).headers["ETag"] != tag
    late = client.patch(f"{path}/card", json={"kind": "letter"}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")
    assert client.get(path).json()["card"]["fields"]["kind"] == "logbook"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"periods": ["spring"]}, "spring"),
        ({"dates": ["2023-02-30"]}, "2023-02-30"),
        ({"subjects": "Ahab"}, "subjects"),
        ({"kind": "x" * 201}, "kind"),
        ({"author": "Melville"}, "author"),
    ],
)
def test_an_invalid_card_is_refused_with_its_field_and_a_hint(
    service: tuple[Services, Client], change: dict[str, Any], named: str
) -> None:
    [document] = upload(service[1], "whale")
    refused = service[1].http.patch(f"/v1/documents/{document}/card", json=change, headers=ANY)
    assert refused.status_code == 422
    assert named in refused.text
    assert refused.json()["hint"]


def test_who_may_not_write_or_see_a_document_cannot_change_its_card(
    service: tuple[Services, Client], asked: tuple[TestClient, People]
) -> None:
    (services, client), (http, people) = service, asked
    [locked] = upload(client, "whale", collection="locked")
    [closed] = upload(client, "secret", readers=["user:bob"])
    services.accounts.grants.grant_role(DEFAULT_TENANT, "locked", "user:eve", Role.READER)
    of_eve = people.of("eve", **ANY)
    refused = http.patch(f"/v1/documents/{locked}/card", json={"kind": "logbook"}, headers=of_eve)
    assert (refused.status_code, refused.json()["code"]) == (403, "role_missing")
    unknown = http.patch(f"/v1/documents/{closed}/card", json={"kind": "logbook"}, headers=of_eve)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "document_not_found")
    assert client.get(f"/v1/documents/{locked}")["card"]["fields"]["kind"] != "logbook"


def test_listings_searches_and_bulk_actions_are_filtered_by_cards(service: tuple[Services, Client]) -> None:
    client = service[1]
    whale, shark, _ = upload(client, "whale", "shark", "squid")
    set_card(client, whale, kind="contract", periods=["2022-Q3"], dates=["2022-08-01"])
    set_card(client, shark, kind="contract", periods=["2023"], dates=["2023-04-01"])
    assert find_names(client, {"kind": "contract"}) == ["whale", "shark"]
    assert find_names(client, {"kind": {"not": "contract"}}) == ["squid"]
    assert find_names(client, {"periods": {"gte": 2023}}) == ["shark"]
    assert find_names(client, {"periods": {"lt": "2022-Q4"}}) == ["whale"]
    assert find_names(client, {"kind": "contract", "dates": {"lt": "2023-01-01"}}) == ["whale"]
    either = {"$any": [{"$card": {"periods": "2022-Q3"}}, {"$card": {"dates": "2023-04-01"}}]}
    found = client.post("/v1/search", {"query": "ship", "filters": either})["hits"]
    assert {hit["document"] for hit in found} == {whale, shark}
    contracts = {"action": "delete", "matching": {"filters": {"$card": {"kind": "contract"}}}}
    assert client.post("/v1/documents/bulk/plan", contracts)["documents"] == 2


@pytest.mark.parametrize(
    ("filters", "named"),
    [
        ('{"$card": {"author": "Ahab"}}', "author"),
        ('{"$card": {"kind": {"gte": 3}}}', "kind"),
        ('{"$card": {"periods": {"gte": "spring"}}}', "periods"),
        ('{"$card": []}', "$card"),
        ("[]", "filters"),
        ("{", "filters"),
    ],
)
def test_an_invalid_filter_is_refused_with_its_field_and_a_hint(
    service: tuple[Services, Client], filters: str, named: str
) -> None:
    refused = service[1].http.get("/v1/documents", params={"filters": filters})
    assert refused.status_code == 422
    assert named in refused.text
    assert refused.json()["hint"]


def test_facets_count_the_documents_of_the_listing_that_a_person_may_see(
    service: tuple[Services, Client], asked: tuple[TestClient, People]
) -> None:
    client, (http, people) = service[1], asked
    whale, shark = upload(client, "whale", "shark")
    [closed] = upload(client, "secret", readers=["user:bob"])
    set_card(client, whale, kind="contract", subjects=["Ahab", "Pequod"], language="en")
    set_card(client, shark, kind="contract", subjects=["Pequod"], language="de")
    set_card(client, closed, kind="contract", subjects=["Ahab"], language="en")

    def count(person: str, **params: str) -> dict[str, dict[str, int]]:
        found = http.get("/v1/documents/facets", params=params, headers=people.of(person)).json()["facets"]
        return {name: {each["value"]: each["documents"] for each in values} for name, values in found.items()}

    assert count("eve", names="kind,subjects") == {"kind": {"contract": 2}, "subjects": {"Pequod": 2, "Ahab": 1}}
    assert count("bob", names="kind,subjects") == {"kind": {"contract": 3}, "subjects": {"Ahab": 2, "Pequod": 2}}
    assert count("eve", names="subjects", named="shark") == {"subjects": {"Pequod": 1}}
    assert count("eve", names="kind", filters='{"$card": {"subjects": "Ahab"}}') == {"kind": {"contract": 1}}
    assert count("eve").keys() == {"kind", "subjects", "periods", "language"}
    refused = http.get("/v1/documents/facets", params={"names": "kind,author"}, headers=people.of("eve"))
    assert refused.status_code == 400
    assert "author" in refused.json()["detail"]
    assert "subjects" in refused.json()["hint"]


def test_the_client_changes_cards_and_takes_filters_as_mappings(service: tuple[Services, Client]) -> None:
    client = service[1]
    whale, _ = upload(client, "whale", "shark")
    assert client.change_card(whale, kind="contract", periods=["2022"]).fields.kind == "contract"
    late = {"$card": {"periods": {"gte": 2022}}}
    assert [each.id for each in client.documents(filters=late)] == [whale]
    found = client.facets("kind,periods", filters=late).facets
    assert {name: [(each.value, each.documents) for each in values] for name, values in found.items()} == {
        "kind": [("contract", 1)],
        "periods": [("2022", 1)],
    }
