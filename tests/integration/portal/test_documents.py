"""Reading documents in a real browser: formatted text, page images, the outline, and what is not in the text."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from api.admission.services import Services
from api.client import Client
from tests.support.browser import Portal, portal
from tests.support.drawn_pdfs import BOLD, Drawing
from tests.support.portal_pages import ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

TIDES = (
    "# Tides 𝔚\n\nHigh *water* is at **noon**.\n\n## Ports\n\n"
    "| port | height |\n|---|---|\n| Brest | 7.1 |\n| Calais | 6.4 |\n\n"
    "- one\n- two\n\n> a saying\n\n```\ncode `here`\n```\n"
)


def contract(pages: int = 4) -> bytes:
    """A contract with one clause a page, a running header, and a page number."""
    drawing = Drawing()
    for page in range(1, pages + 1):
        drawing.line("Contract between Alder and Birch", 60, 760, size=9)
        drawing.line(f"{page}. Clause number {page}", 60, 720, font=BOLD, size=14)
        drawing.lines([f"The parties agree on part {page}, which is about", f"the delivery of {page} boats."], 60, 690)
        drawing.line(f"Page {page} of {pages}", 300, 40, size=9)
        if page < pages:
            drawing.next_page()
    return drawing.content()


def text_of(client: Client, document: dict[str, Any]) -> str:
    return client.http.get(f"/v1/documents/{document['id']}/content").text


def span_of(text: str, words: str) -> str:
    start = text.index(words)
    return f"start={start}&end={start + len(words)}"


def wait_for_page(page: Page, number: int) -> None:
    expect(page.get_by_label("Page number")).to_have_value(str(number))
    expect(page.locator(".sheet img")).to_have_js_property("complete", True)
    expect(page.locator(".sheet > p")).to_have_count(0)


def test_the_text_is_formatted_with_the_exact_span_marked_and_plain_where_that_is_chosen(
    service: tuple[Services, Client], opened: Portal
) -> None:
    document = ready_document(service[1], TIDES, "tides.md")
    span = span_of(TIDES, "water* is at **noon**.\n\n## Por")
    page = opened.signed_in(f"/library/{document['id']}?{span}")
    text = page.locator("#text")
    expect(text.locator("mark")).to_have_text(["water", " is at ", "noon", ".", "Por"])
    expect(text.locator("h3")).to_have_text("Tides 𝔚")
    expect(text.locator("strong mark")).to_have_text("noon")
    expect(text.locator("td")).to_have_text(["Brest", "7.1", "Calais", "6.4"])
    expect(text.locator("ul li")).to_have_text(["one", "two"])
    expect(text.locator("pre")).to_have_text("code `here`")
    assert serious(page) == []
    page.get_by_role("button", name="Plain text").click()
    expect(text).to_contain_text("## Ports")
    expect(text.locator("mark")).to_have_text("water* is at **noon**.\n\n## Por")
    page.reload()
    expect(page.get_by_role("button", name="Plain text")).to_have_attribute("aria-pressed", "true")


def test_code_is_marked_at_the_cited_words(service: tuple[Services, Client], opened: Portal) -> None:
    document = ready_document(service[1], TIDES, "tides.md")
    page = opened.signed_in(f"/library/{document['id']}?{span_of(TIDES, 'de `he')}")
    expect(page.locator("#text pre mark")).to_have_text("de `he")


def test_a_long_document_is_read_in_parts_that_end_between_blocks(
    service: tuple[Services, Client], opened: Portal
) -> None:
    rows = "\n".join(f"| port {number} | {number} |" for number in range(1_500))
    paragraphs = "\n\n".join(f"## Part {number}\n\nText of **part** {number} goes on." for number in range(1_200))
    content = f"# All\n\n{paragraphs}\n\n| port | height |\n| --- | --- |\n{rows}\n"
    document = ready_document(service[1], content, "long.md")
    page = opened.signed_in(f"/library/{document['id']}")
    headings = page.locator("#text h4")
    first = page.locator("#text strong")
    expect(first.first).to_have_text("part")
    count = headings.count()
    page.get_by_role("button", name="More text").click()
    expect(headings).not_to_have_count(count)
    assert "**" not in page.locator("#text").inner_text()
    page.goto(f"{opened.url}/library/{document['id']}?{span_of(content, '| port 1200 | 1200 |')}")
    expect(page.locator("#text mark")).to_have_text(["port 1200", "1200"])
    expect(page.locator("#text thead th")).to_have_text(["port", "height"])
    page.get_by_role("button", name="Earlier text").click()
    expect(page.locator("#text td", has_text="port 700").first).to_be_attached()


def test_pages_are_shown_one_at_a_time_with_zoom_keys_and_the_cited_words_marked(
    service: tuple[Services, Client], opened: Portal
) -> None:
    client = service[1]
    document = ready_document(client, contract(), "contract.pdf")
    asked: list[str] = []
    opened.context.on("request", lambda request: asked.append(request.url) if "/image?" in request.url else None)
    span = span_of(text_of(client, document), "delivery of 3 boats")
    page = opened.signed_in(f"/library/{document['id']}?{span}")
    expect(page.locator("#text mark")).to_have_text("delivery of 3 boats")
    assert asked == []
    page.get_by_role("button", name="Pages", exact=True).click()
    wait_for_page(page, 3)
    expect(page.locator(".sheet .box")).to_have_count(1)
    assert {url.partition("/pages/")[2].partition("/")[0] for url in asked} == {"3"}
    assert serious(page) == []
    stage = page.locator(".stage")
    stage.press("ArrowRight")
    wait_for_page(page, 4)
    expect(page.locator(".sheet .box")).to_have_count(0)
    expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    stage.press("PageUp")
    wait_for_page(page, 3)
    narrow = page.locator(".sheet").bounding_box()
    stage.press("+")
    expect(page.locator(".zoom")).to_have_text("125 %")
    wide = page.locator(".sheet").bounding_box()
    assert narrow is not None
    assert wide is not None
    assert wide["width"] == pytest.approx(1.25 * narrow["width"], rel=0.02)
    stage.press("-")
    stage.press("-")
    expect(page.locator(".zoom")).to_have_text("75 %")
    page.get_by_role("button", name="Fit the width").click()
    expect(page.locator(".zoom")).to_have_text("100 %")
    page.get_by_label("Page number").fill("2")
    page.get_by_label("Page number").press("Enter")
    wait_for_page(page, 2)
    page.get_by_role("link", name="Clause number 1").click()
    wait_for_page(page, 1)


def test_the_outline_follows_the_text_and_its_headings_are_links(
    service: tuple[Services, Client], opened: Portal
) -> None:
    document = ready_document(service[1], contract(), "contract.pdf")
    page = opened.signed_in(f"/library/{document['id']}")
    titles = page.locator("#outline .entry > .foreign")
    expect(titles).to_have_text([f"{number}. Clause number {number}" for number in range(1, 5)])
    link = page.get_by_role("link", name="Clause number 3").get_attribute("href")
    page.goto(f"{opened.url}/library/{document['id']}{link}")
    page.reload()
    expect(page.locator("#text h3").first).to_have_text("3. Clause number 3")
    with portal(service[0], page.context.browser, viewport={"width": 360, "height": 740}) as narrow:  # type: ignore[arg-type]
        phone = narrow.signed_in(f"/library/{document['id']}")
        phone.get_by_role("button", name="Pages", exact=True).click()
        wait_for_page(phone, 1)
        places = [each.bounding_box() for each in phone.locator("#document .actions > :visible").all()]
        assert len({place["y"] for place in places if place}) == 3
        assert phone.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert serious(phone) == []


def test_skipped_page_headers_are_no_warning(service: tuple[Services, Client], opened: Portal) -> None:
    client = service[1]
    document = ready_document(client, contract(), "contract.pdf")
    assert {each["kind"] for each in document["omissions"]} == {"boilerplate"}
    page = opened.signed_in(f"/library/{document['id']}")
    expect(page.locator("#notices")).to_have_text("Page headers skipped")
    expect(page.locator("#notices .warn")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_cited_words_on_the_image_of_a_page_are_dark_on_a_light_mark_in_both_schemes(
    service: tuple[Services, Client], browser: Browser, scheme: str
) -> None:
    client = service[1]
    document = ready_document(client, contract(), "contract.pdf")
    span = span_of(text_of(client, document), "delivery of 2 boats")
    with portal(service[0], browser, color_scheme=scheme) as opened:
        page = opened.signed_in(f"/library/{document['id']}?{span}")
        page.get_by_role("button", name="Pages", exact=True).click()
        wait_for_page(page, 2)
        expect(page.locator(".sheet .box")).to_be_visible()
        red, green, blue = page.evaluate(
            """async () => {
              const box = document.querySelector('.sheet .box')
              const colour = getComputedStyle(box).backgroundColor.match(/[\\d.]+/g).slice(0, 3).map(Number)
              return colour
            }"""
        )
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue > 180
