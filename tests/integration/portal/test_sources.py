"""The panel beside an answer in a real browser: records of a computed answer, rows, pages, and the panel itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from api.admission.services import Services
from api.client import Client
from rlm.answers import Answer, CellRecords, Check, Citation, ResultTable, Sentence, SourceRows
from rlm.events import Completed
from tests.fakes.scripted_answers import answer
from tests.integration.portal.test_documents import contract, text_of, wait_for_page
from tests.support.browser import Portal, portal
from tests.support.portal_pages import TEXT, WrittenAnswers, ask, ready_document, serious, written

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

NOTE = "The parcel was left with a neighbour who lives on the same floor of the house"
ORDERS = "order_id,customer,shipped,note,country,status\n" + "".join(
    f"{1000 + row},Customer {row},2025-04-{row:02d},{NOTE},{country},{'late' if row % 3 else 'done'}\n"
    for row in range(1, 25)
    for country in [("Spain", "Germany")[row % 2]]
)
LATE = [row for row in range(1, 25) if row % 3]
SQL = "SELECT country, count(*) AS late_orders FROM orders WHERE status = 'shipped' GROUP BY country"


def computed(client: Client, text: str) -> Answer:
    """Late orders by country, whose text cites the first three records of each country."""
    document = ready_document(client, ORDERS, "orders.csv")
    content = text_of(client, document)

    def rows(numbers: list[int]) -> tuple[SourceRows, ...]:
        return (SourceRows(document["id"], document["active_version"], 0, tuple(numbers)),)

    def citation(number: int, row: int) -> Citation:
        start = content.index(f"{1000 + row},")
        end = content.index("\n", start)
        made = Citation(
            number, document["id"], document["active_version"], "orders.csv", (), None, start, end, "", False
        )
        return replace(made, quote=content[start:end], place=f"row {row + 1}")

    germany, spain = [row for row in LATE if row % 2], [row for row in LATE if not row % 2]
    cited = [*germany[:3], *spain[:3]]
    return replace(
        answer(document["id"], text=text, strategy="table"),
        sentences=(Sentence(text, 0, len(text), (1, 2, 3, 4, 5, 6), Check.COMPUTED, "", ()),),
        citations=tuple(citation(number, row) for number, row in enumerate(cited, 1)),
        table=ResultTable(
            ("country", "late_orders"), (("Germany", len(germany)), ("Spain", len(spain))), 2, SQL, quantities=(1,)
        ),
        rows_behind=rows(LATE),
        cells_behind=(CellRecords(1, None, rows(germany)), CellRecords(2, None, rows(spain))),
    )


def show(page: Page, said: WrittenAnswers, made: Answer) -> None:
    said.events = [Completed(made)]
    ask(page)
    expect(page.locator(".answer[aria-busy]")).to_have_count(0)


@pytest.mark.parametrize(
    ("text", "chips", "title"),
    [
        ("Germany (8) [1][2][3], Spain (8) [4][5][6].", ["8 records", "8 records"], "8 late orders, Germany"),
        ("In all, 16 orders were late [1][2][3][4][5][6].", ["16 records"], "Records behind the answer"),
    ],
    ids=["a list", "a sentence"],
)
def test_one_chip_stands_for_the_records_of_a_sentence_and_its_panel_says_what_was_counted(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal, text: str, chips: list[str], title: str
) -> None:
    page = opened.signed_in("/ask")
    show(page, said, computed(service[1], text))
    expect(page.locator(".answer .cite")).to_have_text(chips)
    page.locator(".answer .cite").first.click()
    beside = page.locator("#beside")
    expect(beside.locator("h2")).to_have_text(title)
    expect(beside.locator("tbody tr")).to_have_count(int(chips[0].split()[0]))
    expect(beside.locator("thead th")).to_have_text(
        ["Row", "country", "status", "order_id", "customer", "shipped", "note"]
    )
    assert serious(page) == []
    page.keyboard.press("Escape")
    expect(page.locator(".answer .cite").first).to_be_focused()
    with page.expect_response("**/rows?*"):
        page.get_by_role("button", name="8: 8 records behind it").first.click()
    expect(beside.locator("h2")).to_have_text("8 late orders, Germany")


def test_a_cited_row_has_one_number_everywhere_and_is_not_said_to_be_quoted(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    page = opened.signed_in("/ask")
    show(page, said, computed(service[1], "Germany (8) [1][2][3], Spain (8) [4][5][6]."))
    page.get_by_role("button", name="Source 2: orders.csv").last.click()
    beside = page.locator("#beside")
    expect(beside.locator("tr.cited th")).to_have_text("6")
    expect(beside.locator(".source-head")).to_contain_text("row 6")
    expect(beside).to_contain_text("In the file: row 6")
    expect(beside).to_contain_text("The marked row is one of the records that the answer rests on.")
    expect(beside).not_to_contain_text("closest to the sentence")
    expect(beside.locator("thead th").nth(1)).to_have_text("country")


def test_a_wide_table_of_records_keeps_its_row_numbers_in_sight_and_shows_a_scroll_bar(
    service: tuple[Services, Client], said: WrittenAnswers, browser: Browser
) -> None:
    with portal(service[0], browser, viewport={"width": 360, "height": 740}) as opened:
        page = opened.signed_in("/ask")
        show(page, said, computed(service[1], "In all, 16 orders were late [1][2][3]."))
        page.locator(".answer .cite").click()
        box = page.locator("#beside .records-scroll")
        expect(box.locator("tbody tr")).to_have_count(16)
        assert box.evaluate("box => box.scrollWidth > box.clientWidth")
        assert box.evaluate("box => getComputedStyle(box, '::-webkit-scrollbar').height") == "10px"
        before = box.locator("tbody th").first.bounding_box()
        box.evaluate("box => { box.scrollLeft = 500 }")
        after = box.locator("tbody th").first.bounding_box()
        assert before is not None
        assert after is not None
        assert after["x"] == pytest.approx(before["x"], abs=1)
        expect(box.locator("td", has_text="1001")).to_have_css("text-align", "end")
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert serious(page) == []


def test_labels_of_a_chart_are_shown_whole(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1])
    names = ("Germany", "MMMMMWWWWW", "United Kingdom", "Österreich")
    table = ResultTable(("country", "orders"), tuple((name, 7) for name in names), len(names), "SELECT 1")
    page = opened.signed_in("/ask")
    show(page, said, written(document, TEXT, table=table, strategy="table"))
    labels = page.locator(".chart svg .label")
    expect(labels).to_have_text(list(names))
    lefts = labels.evaluate_all("labels => labels.map(label => label.getBBox().x)")
    assert min(lefts) >= 0


def cites_page(client: Client) -> Answer:
    document = ready_document(client, contract(), "contract.pdf")
    words = "delivery of 3 boats"
    start = text_of(client, document).index(words)
    citation = Citation(
        1, document["id"], document["active_version"], "contract.pdf", (), 3, start, start + len(words), words, True
    )
    said = "Three boats are delivered [1]."
    sentence = Sentence(said, 0, len(said), (1,), Check.QUOTED, "", ())
    return answer(document["id"], text=said, sentences=(sentence,), citations=(citation,))


def test_a_source_opens_at_its_page_whose_viewer_turns_pages_and_the_document_opens_at_the_span(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    page = opened.signed_in("/ask")
    show(page, said, cites_page(service[1]))
    cite = page.locator(".answer .cite")
    cite.click()
    wait_for_page(page, 3)
    expect(page.locator("#beside .sheet .box")).to_have_count(1)
    expect(page.locator("#beside .source h3").first).to_have_text("1. Clause number 1")
    expect(page.locator("#beside mark")).to_have_text("delivery of 3 boats")
    assert page.evaluate("scrollY") == 0
    bottom: Any = page.evaluate("document.getElementById('beside').getBoundingClientRect().bottom")
    assert bottom <= page.evaluate("innerHeight")
    page.get_by_role("button", name="Next page").click()
    wait_for_page(page, 4)
    page.locator(".stage").press("Escape")
    expect(page.locator("#beside")).to_be_hidden()
    expect(cite).to_be_focused()
    cite.click()
    page.get_by_role("button", name="Close source").click()
    expect(cite).to_be_focused()
    cite.click()
    page.get_by_role("link", name="Open document").click()
    expect(page.locator("#text mark")).to_have_text("delivery of 3 boats")


def test_the_panel_is_widened_and_stays_wide(
    service: tuple[Services, Client], said: WrittenAnswers, browser: Browser
) -> None:
    with portal(service[0], browser, viewport={"width": 1440, "height": 900}) as opened:
        page = opened.signed_in("/ask")
        show(page, said, cites_page(service[1]))
        page.locator(".answer .cite").click()
        width: Any = "document.getElementById('beside').offsetWidth"
        narrow = page.evaluate(width)
        page.get_by_role("button", name="Wide panel").click()
        wide = page.evaluate(width)
        assert wide > 1.2 * narrow
        page.reload()
        page.locator(".answer .cite").click()
        assert page.evaluate(width) == wide


def test_records_are_downloaded_with_the_numbers_of_their_rows(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    page = opened.signed_in("/ask")
    show(page, said, computed(service[1], "In all, 16 orders were late [1][2][3]."))
    page.locator(".answer .cite").click()
    with page.expect_download() as waiting:
        page.locator("#beside").get_by_role("button", name="Download all 16 records (CSV)").click()
    lines = Path(waiting.value.path()).read_text().splitlines()
    assert [line.split(",")[1:3] for line in lines[:3]] == [["row", "order_id"], ["2", "1001"], ["3", "1002"]]
