"""The records behind a computed answer, page by page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.storage.answers.records import ITS_SECTIONS, WHOLE_DOCUMENT
from rlm.answers import CellRecords, ResultTable, SourceRows
from rlm.events import Completed
from tests.fakes.scripted_answers import answer
from tests.support.asking import AskedApi, asked_api
from tests.support.catalogs import arrive


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        yield api


def asked(api: AskedApi, *behind: SourceRows) -> dict[str, Any]:
    api.answers.scripts = [[Completed(answer(rows_behind=behind))]]
    given: dict[str, Any] = api.ask()
    return given


def pages(api: AskedApi, identifier: str, limit: int) -> list[list[dict[str, Any]]]:
    found, cursor = [], None
    while True:
        page = api.get(f"/v1/answers/{identifier}/rows", limit=limit, **({"cursor": cursor} if cursor else {}))
        found.append(page["rows"])
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 100])
def test_all_rows_come_once_in_their_order_whatever_the_page(api: AskedApi, limit: int) -> None:
    given = asked(
        api, SourceRows("d", "v", 0, (1, 2, 5)), SourceRows("e", "w", 0, (4,)), SourceRows("f", "x", 0, (9, 10))
    )
    assert given["rows_behind_total"] == 6
    found = pages(api, given["id"], limit)
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    rows = [(row["document_id"], row["row"]) for page in found for row in page]
    assert rows == [("d", 1), ("d", 2), ("d", 5), ("e", 4), ("f", 9), ("f", 10)]


def test_a_row_has_its_span_its_text_and_its_values_by_column(api: AskedApi) -> None:
    given = asked(api, SourceRows("d", "v", 0, (3,)))
    assert pages(api, given["id"], 10) == [
        [
            {
                "document_id": "d",
                "version_id": "v",
                "table": 0,
                "row": 3,
                "file_row": None,
                "start": 30,
                "end": 40,
                "text": "30 to 40",
                "values": {"name": "ship 3", "year": 1803},
                "place": "row 4",
                "gone": False,
            }
        ]
    ]


def test_documents_and_sections_are_records_too_and_show_their_beginning(api: AskedApi) -> None:
    document = arrive(api.services.documents.catalog)
    of = document.id, document.version.id
    given = asked(api, SourceRows(*of, WHOLE_DOCUMENT, (1,)), SourceRows(*of, ITS_SECTIONS, (1, 2)))
    assert given["rows_behind_total"] == 3
    (rows,) = pages(api, given["id"], 10)
    assert [(*(row[name] for name in ("table", "row", "start", "end", "gone")),) for row in rows] == [
        (None, 1, 0, 1_000, False),
        (None, 1, 0, 900, False),
        (None, 2, 900, 1_900, False),
    ]
    assert (rows[0]["text"], rows[2]["text"]) == ("0 to 1000", "900 to 1900")
    assert rows[0]["values"]["name"] == document.name
    assert rows[2]["values"]["heading"] == "Two > Deep"


def test_rows_of_a_version_that_is_gone_are_counted_and_not_shown(api: AskedApi) -> None:
    document = arrive(api.services.documents.catalog).id
    given = asked(api, SourceRows(document, "v", 0, (1, 2)), SourceRows("replaced", "gone", 0, (7,)))
    assert [row["gone"] for row in pages(api, given["id"], 10)[0]] == [False, False, True]
    api.services.documents.catalog.delete_document("ann", document)
    (rows,) = pages(api, given["id"], 10)
    assert [(row["row"], row["text"], row["values"], row["gone"]) for row in rows] == [
        (1, "", {}, True),
        (2, "", {}, True),
        (7, "", {}, True),
    ]


def test_an_answer_that_computed_nothing_has_no_rows(api: AskedApi) -> None:
    given = asked(api)
    assert api.get(f"/v1/answers/{given['id']}/rows") == {"rows": [], "total": 0, "next_cursor": None}


def test_rows_of_another_tenants_answer_are_nobodys(api: AskedApi) -> None:
    given = asked(api, SourceRows("d", "v", 0, (1,)))
    found = api.http.get(f"/v1/answers/{given['id']}/rows", headers=api.stranger)
    assert (found.status_code, found.json()["code"]) == (404, "answer_not_found")


def test_the_rows_behind_one_number_are_those_of_its_cell_else_those_of_its_row(api: AskedApi) -> None:
    table = ResultTable(("ship", "n", "late"), (("a", 3, 1), ("b", 2, 0)), 2, "SELECT 1")
    cells = (
        CellRecords(1, None, (SourceRows("d", "v", 0, (1, 2, 5)),)),
        CellRecords(1, 2, (SourceRows("d", "v", 0, (5,)),)),
        CellRecords(2, None, (SourceRows("e", "w", 0, (7, 8)),)),
    )
    api.answers.scripts = [[Completed(answer(table=table, cells_behind=cells))]]
    given: dict[str, Any] = api.ask()
    assert given["table"]["records"] == [
        {"row": 1, "column": None, "count": 3},
        {"row": 1, "column": 2, "count": 1},
        {"row": 2, "column": None, "count": 2},
    ]

    def behind(**cell: int) -> list[int]:
        page = api.get(f"/v1/answers/{given['id']}/rows", **cell)
        assert page["total"] == len(page["rows"])
        return [each["row"] for each in page["rows"]]

    assert (behind(row=1), behind(row=1, column=1), behind(row=1, column=2)) == ([1, 2, 5], [1, 2, 5], [5])
    assert behind(row=2, column=2) == [7, 8]
    for wrong in ({"row": 3}, {"row": 1, "column": 3}, {"column": 1}):
        refused = api.http.get(f"/v1/answers/{given['id']}/rows", params=wrong)
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
