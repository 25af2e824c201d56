"""What a document's text holds, and where it stands in its file, over HTTP."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client, ServiceError
from tests.support.pdf_files import pdf
from tests.support.service import running
from tests.support.workbooks import xlsx

BOOK = """# Voyage

Before.

## North

| town | people |
| --- | --- |
| Oslo | 709037 |
| Bergen | 291940 |

## South

They came home.
"""
CREW = [["name", "note"], ["ada", "keeps bees"], ["ottokar", "walrus that sang"], ["peleg", "captain"]]
CITIES = "city,people,founded\nOslo,709037,1048-01-01\nBergen,291940,1070-01-01\nTrondheim,212660,0997-01-01\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path_factory.mktemp("home")) as (services, client):
        yield services, client


@pytest.fixture
def client(service: tuple[Services, Client]) -> Client:
    return service[1]


def sent(client: Client, name: str, content: str | bytes) -> str:
    """Upload a file and wait until it is searchable; its document's id."""
    raw = content.encode() if isinstance(content, str) else content
    document: str = client.http.post("/v1/documents", params={"name": name}, content=raw).json()["id"]
    for state in client.follow(f"/v1/documents/{document}/events"):
        assert state["state"] != "failed", state
    return document


def text_of(client: Client, document: str) -> str:
    return client.http.get(f"/v1/documents/{document}/content").text


def test_an_outline_has_each_heading_with_what_is_below_it_and_each_table(client: Client) -> None:
    document = sent(client, "voyage.md", BOOK)
    text, found = text_of(client, document), client.get(f"/v1/documents/{document}/outline")
    assert [(each["kind"], each["title"], each["level"]) for each in found["entries"]] == [
        ("heading", "Voyage", 1),
        ("heading", "North", 2),
        ("table", found["entries"][2]["title"], None),
        ("heading", "South", 2),
    ]
    whole, north, table, south = (text[each["start"] : each["end"]] for each in found["entries"])
    assert whole == text
    assert north.startswith("## North")
    assert ("Bergen" in north, "South" in north) == (True, False)
    assert (table[:6], table[-10:]) == ("| town", "| 291940 |")
    assert south.strip() == "## South\n\nThey came home."
    assert text[found["entries"][2]["start"] : found["entries"][2]["header_end"]] == "| town | people |\n| --- | --- |"
    assert found["entries"][2]["table"] == 0


def test_an_outline_is_read_page_by_page(client: Client) -> None:
    document = sent(client, "parts.md", "\n\n".join(f"# Part {number}\n\nText {number}." for number in range(7)))
    first = client.get(f"/v1/documents/{document}/outline", limit=4)
    rest = client.get(f"/v1/documents/{document}/outline", limit=4, cursor=first["next_cursor"])
    assert [each["title"] for each in first["entries"] + rest["entries"]] == [f"Part {number}" for number in range(7)]
    assert rest["next_cursor"] is None


def test_a_page_without_text_comes_before_the_page_that_starts_at_the_same_place(client: Client) -> None:
    document = sent(client, "gap.pdf", pdf([["One page."], ["Another page."], [], ["The last page."]]))
    pages = [each for each in client.get(f"/v1/documents/{document}/outline")["entries"] if each["kind"] == "page"]
    assert [each["page"] for each in pages] == [1, 2, 3, 4]
    assert pages[2]["start"] == pages[2]["end"] == pages[3]["start"]


def test_rows_have_the_number_that_they_have_in_the_file(client: Client) -> None:
    table = sent(client, "cities.csv", CITIES)
    rows = client.get(f"/v1/documents/{table}/tables/0/rows")["rows"]
    assert [(each["row"], each["file_row"]) for each in rows] == [(1, 2), (2, 3), (3, 4)]
    text = sent(client, "voyage2.md", f"{BOOK} Again.")
    assert {each["file_row"] for each in client.get(f"/v1/documents/{text}/tables/0/rows")["rows"]} == {None}


def test_the_rows_of_a_table_are_read_page_by_page_with_the_columns_that_are_asked_for(client: Client) -> None:
    document = sent(client, "cities.csv", CITIES)
    (table,) = client.get(f"/v1/documents/{document}/tables")["tables"]
    assert (table["table"], table["rows"], table["place"]) == (0, 3, "rows 1 to 4")
    assert [(each["name"], each["type"]) for each in table["columns"]] == [
        ("city", "text"),
        ("people", "integer"),
        ("founded", "date"),
    ]
    path = f"/v1/documents/{document}/tables/0/rows"
    first = client.get(path, limit=2, column=["people", "city"])
    assert [each["values"] for each in first["rows"]] == [
        {"people": 709037, "city": "Oslo"},
        {"people": 291940, "city": "Bergen"},
    ]
    rest = client.get(path, limit=2, cursor=first["next_cursor"])
    text, (row,) = text_of(client, document), rest["rows"]
    assert (row["row"], row["values"]["founded"], rest["total"], rest["next_cursor"]) == (3, "0997-01-01", 3, None)
    assert text[row["start"] : row["end"]] == "Trondheim,212660,0997-01-01"


def test_a_table_or_column_that_there_is_not_is_named_with_the_route_that_lists_them(client: Client) -> None:
    document = sent(client, "towns.csv", CITIES.replace("city", "town"))
    missing = client.http.get(f"/v1/documents/{document}/tables/3/rows")
    assert (missing.status_code, missing.json()["code"]) == (404, "table_not_found")
    with pytest.raises(ServiceError, match=r"no column 'mayor'.*/tables lists the columns"):
        client.get(f"/v1/documents/{document}/tables/0/rows", column="mayor")


def test_a_span_of_a_former_version_is_refused_and_says_why(client: Client) -> None:
    document = sent(client, "plan.txt", "The first plan.")
    former = client.get(f"/v1/documents/{document}")["version"]
    span = {"start": 0, "end": 5, "version": former}
    assert client.get(f"/v1/documents/{document}/positions", **span)["version"] == former
    client.http.put(f"/v1/documents/{document}", content=b"The second plan.", headers={"If-Match": "*"})
    for state in client.follow(f"/v1/documents/{document}/events"):
        assert state["state"] != "failed"
    for what in ("positions", "content", "outline", "tables"):
        asked = span if what in {"positions", "content"} else {"version": former}
        found = client.http.get(f"/v1/documents/{document}/{what}", params=asked)
        assert (found.status_code, found.json()["code"]) == (409, "document_state"), what


def test_positions_go_on_where_a_page_of_them_ended(client: Client, service: tuple[Services, Client]) -> None:
    from ingest.storage.texts.positions import Box, PositionsBuilder
    from ingest.storage.texts.texts import VersionText

    services, _ = service
    document = sent(client, "words.txt", "one two three four")
    version = client.get(f"/v1/documents/{document}")["version"]
    builder, text = PositionsBuilder(), "one two three four"
    for number, word in enumerate(text.split()):
        at = Box(1 + number // 3, 0.25 * (number % 3), 0.125, 0.25 * (number % 3) + 0.125, 0.25)
        builder.add(text.index(word), text.index(word) + len(word), at)
    services.documents.catalog.delete_derived_records(version)
    services.contents.texts.delete(version)
    services.contents.texts.save_all([VersionText(version, text, None, (), positions=builder.build())])
    path = f"/v1/documents/{document}/positions"
    whole: Any = client.get(path, start=0, end=18)
    assert whole["boxes"] == [
        {"page": 1, "left": 0.0, "top": 0.125, "right": 0.625, "bottom": 0.25},
        {"page": 2, "left": 0.0, "top": 0.125, "right": 0.125, "bottom": 0.25},
    ]
    assert whole["next_start"] is None
    first: Any = client.get(path, start=0, end=18, limit=2)
    assert (first["boxes"][0]["right"], first["next_start"]) == (0.375, 8)
    rest: Any = client.get(path, start=first["next_start"], end=18)
    assert [each["left"] for each in rest["boxes"]] == [0.5, 0.0]


@pytest.mark.parametrize("span", [{"start": 5, "end": 5}, {"start": 9, "end": 2}])
def test_an_empty_span_has_no_positions(client: Client, span: dict[str, int]) -> None:
    document = sent(client, "short.txt", "Nothing more to say than this.")
    found = client.http.get(f"/v1/documents/{document}/positions", params=span)
    assert found.status_code == 400
    assert "citation" in found.json()["hint"]


def test_the_box_of_a_citation_lies_over_its_words_in_the_picture_of_its_page(client: Client) -> None:
    pages = [["The first page tells of brass bells."], ["The second page tells of the walrus Ottokar, who sang."]]
    document = sent(client, "two.pdf", pdf(pages))
    start = text_of(client, document).index("Ottokar")
    found: Any = client.get(f"/v1/documents/{document}/positions", start=start, end=start + 7)
    (box,) = found["boxes"]
    assert (found["place"], box["page"]) == ("page 2", 2)
    path = f"/v1/documents/{document}/pages/2/image"
    response = client.http.get(path, params={"width": 800})
    picture = Image.open(io.BytesIO(response.content)).convert("L")
    assert (response.headers["content-type"], picture.width) == ("image/png", 800)
    edges = [box[side] * of for side, of in zip(("left", "top", "right", "bottom"), picture.size * 2, strict=True)]
    left, top, right, bottom = (round(edge) for edge in edges)
    seen = np.asarray(picture)
    assert seen[top:bottom, left:right].min() < 100
    assert seen[bottom + 20 : bottom + 120, left:right].min() > 200  # below it the page is white
    again = client.http.get(path, params={"width": 800}, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_no_picture_is_drawn_of_an_original_that_was_changed(service: tuple[Services, Client]) -> None:
    services, client = service
    document = sent(client, "price.pdf", pdf([["The price is 52000 crowns."]]))
    key = services.documents.catalog.load_document(DEFAULT_TENANT, document).version.blob_key
    services.contents.blobs.put(key, pdf([["The price is 92000 crowns."]]))
    refused = client.http.get(f"/v1/documents/{document}/pages/1/image")
    assert (refused.status_code, refused.json()["code"]) == (500, "content_changed")


@pytest.mark.parametrize(("name", "content", "page"), [("a.txt", b"Just text.", 1), ("b.pdf", pdf([["One."]]), 2)])
def test_a_page_without_a_picture_is_not_found(client: Client, name: str, content: bytes, page: int) -> None:
    document = sent(client, name, content)
    found = client.http.get(f"/v1/documents/{document}/pages/{page}/image")
    assert (found.status_code, found.json()["code"]) == (404, "page_not_found")


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("walrus.csv", "\n".join(map(",".join, CREW)), "row 3"),
        ("walrus.xlsx", xlsx({"Crew": CREW}), "sheet Crew, row 3"),
    ],
    ids=["csv", "xlsx"],
)
def test_an_answer_names_the_row_that_it_rests_on(client: Client, name: str, content: str | bytes, place: str) -> None:
    document = sent(client, name, content)
    answer = client.post("/v1/answers", {"question": "Which walrus sang?", "documents": [document]})
    best = answer["citations"][0]
    assert "ottokar" in best["quote"]
    quotes = [quote["place"] for sentence in answer["sentences"] for quote in sentence["quotes"]]
    assert (best["place"], quotes[0]) == (place, place)
