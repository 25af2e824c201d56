"""The portal in German, in a real browser over a real service: no English text, and nothing that does not fit."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account, Quota
from rlm.events import Checking, Completed, Delta, Reading, Routed
from tests.integration.portal.test_manage import spent
from tests.integration.portal.test_runs import STEPS, ended_run, open_run
from tests.support.browser import Portal, portal
from tests.support.portal_pages import MARKDOWN, WrittenAnswers, ready_document, written
from tests.texts.extraction import get_key, list_messages, read_catalogue

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

WIDTHS = (1440, 360)
# Every text that is shown or read aloud, without what people and models wrote.
_TEXTS = """() => {
  const own = '.foreign, .answer > *, pre, code, textarea, [lang=en], .document-text, option[value=default]'
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement
    const shown = parent.checkVisibility({ visibilityProperty: true }) || parent.closest('.unseen')
    if (shown && !parent.closest('script, style, ' + own)) found.push(node.textContent)
  }
  for (const name of ['title', 'aria-label', 'placeholder', 'alt', 'data-label', 'data-tip']) {
    for (const each of document.querySelectorAll(`[${name}]`)) {
      if (each.checkVisibility() && !each.closest(own)) found.push(each.getAttribute(name))
    }
  }
  return [document.title, ...found].map((each) => each.replace(/\\s+/g, ' ').trim()).filter(Boolean)
}"""


@pytest.fixture(params=WIDTHS)
def german(service: tuple[Services, Client], browser: Browser, request: pytest.FixtureRequest) -> Iterator[Portal]:
    size = {"width": request.param, "height": 900}
    with portal(service[0], browser, locale="de-DE", timezone_id="Europe/Berlin", viewport=size) as made:
        yield made


def find_english(page: Page) -> list[str]:
    """Return the texts of a page that are English texts of the catalogue and not their translations."""
    english, german = _compile_patterns()
    return [each for each in page.evaluate(_TEXTS) if english.fullmatch(each) and not german.fullmatch(each)]


def check_german(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.lang") == "de"
    assert find_english(page) == []
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, page.url


def ready_tenant(services: Services, client: Client) -> dict[str, Any]:
    """Fill the installation with something to see on each page. Returns the document."""
    document = ready_document(client)
    client.http.post("/v1/documents", params={"name": "Mietvertrag.txt", "collection": "mieten"}, content=b"Die Miete.")
    client.http.post("/v1/documents", params={"name": "leer.pdf"}, content=b"%PDF-1.4 broken")
    user = services.accounts.users.create(DEFAULT_TENANT, "anna", ["personal"])
    key, _ = services.keys.issue_key(DEFAULT_TENANT, "Nachtlauf", scopes=(Scope.READ, Scope.ASK), user=user.name)
    spent(services, key.id, answers=3, runs=1, prompt_tokens=4_000, completion_tokens=500, nanodollars=2_500_000_000)
    services.admission.meter.quotas.set_limits(Account(DEFAULT_TENANT), {Quota.TOKENS_PER_DAY: 10_000})
    client.http.put("/v1/collections/mieten/grants/group:personal", json={"role": "reader"})
    return document


def script_answer(client: Client, said: WrittenAnswers, document: dict[str, Any]) -> None:
    content = client.http.get(f"/v1/documents/{document['id']}/content").text
    said.events = [Routed("direct", ""), Reading(1, ()), Delta(MARKDOWN), Checking(4)]
    said.events.append(Completed(written(document, content)))


def _compile_patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    english, german = [], []
    for message in list_messages(read_catalogue("de")):
        for texts, patterns in ((message.id, english), (message.string, german)):
            for text in [texts] if isinstance(texts, str) else texts or ():
                if re.search(r"[^\W\d_]{2}", re.sub(r"\{\w+\}", "", text)):
                    patterns.append(re.sub(r"\\\{\w+\\\}", ".+", re.escape(text)))
    return re.compile("|".join(english)), re.compile("|".join(german))
