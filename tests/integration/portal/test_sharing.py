"""A conversation that a colleague shares by a link, in a real browser over a real service."""

from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from api.portal.links import build_sign_in_link, ensure_portal_key
from ingest.storage.accounts.records import Scope
from rlm.answers import Check, Citation, Quote, SearchedDocument, SearchSummary, Sentence, build_stored_answer
from tests.fakes.scripted_answers import answer
from tests.support.browser import Portal
from tests.support.portal_pages import ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

# Sentences as the answer has them, each with the number of its source.
CITED = (
    ("The fees are these [1].", 1),
    ("- Mooring costs 5 [1].", 1),
    ("- Water costs 2 [1].", 1),
    ("- The director earns 90 [2].", 2),
    ("- Light costs 1 [1].", 1),
    ("They rise in May [1].", 1),
)
MARKDOWN = "\n\n".join((CITED[0][0], "\n".join(said for said, _ in CITED[1:5]), CITED[5][0]))


def share_fees(services: Services, client: Client) -> str:
    """Share a conversation of the portal's administrator, whose answer is partly from a document that few can read."""
    fees = ready_document(client, "# Fees\n\nThe fees.\n", "fees.md")
    pay = ready_document(client, "# Wages\n\nThe wages.\n", "wages.md")
    client.http.patch(f"/v1/documents/{pay['id']}", json={"readers": ["group:board"]}, headers={"If-Match": "*"})
    owner = f"key:{ensure_portal_key(services.keys, DEFAULT_TENANT).id}"
    store = services.answers.conversations
    talk = store.start_conversation(DEFAULT_TENANT, "What does the harbour cost?", owner)
    sources = {1: fees, 2: pay}
    citations = tuple(
        Citation(number, each["id"], each["active_version"], each["name"], (), None, 0, 5, "words", True)
        for number, each in sources.items()
    )

    def sentence(said: str, number: int) -> Sentence:
        start = MARKDOWN.index(said)
        quotes = (Quote(number, 0, 5, "words"),)
        return Sentence(said, start, start + len(said), (number,), Check.VERIFIED, "", quotes)

    searched = SearchSummary(2, 2, tuple(SearchedDocument(each["id"], each["name"], 1, 1) for each in sources.values()))
    made = answer(
        text=MARKDOWN, sentences=tuple(sentence(*each) for each in CITED), citations=citations, searched=searched
    )
    stored = build_stored_answer(made, str(uuid4()), DEFAULT_TENANT, "What does the harbour cost?", talk, owner)
    store.store_answer(stored, frozenset(each["active_version"] for each in sources.values()))
    shared: dict[str, Any] = client.post("/v1/shares", {"conversation": talk})
    return f"/shared/{shared['id']}"


def test_a_colleague_reads_lists_as_lists_and_who_shared_them_in_plain_words(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services, client = service
    path = share_fees(services, client)
    services.accounts.users.create(DEFAULT_TENANT, "eve")
    key = ensure_portal_key(services.keys, DEFAULT_TENANT, user="eve", scopes=frozenset({Scope.READ, Scope.ASK}))
    link = build_sign_in_link(opened.url, services.accounts.sessions.issue_ticket(DEFAULT_TENANT, key.id))
    with opened.somebody_else(link) as page:
        page.wait_for_selector("#account")
        page.goto(f"{opened.url}{path}")
        expect(page.locator("#about")).to_contain_text("A conversation, shared by a colleague.")
        text = page.locator(".answer")
        expect(text.locator("li", has_text="costs")).to_have_count(3)
        expect(text.locator("li", has_text="Mooring")).not_to_contain_text("Water")
        expect(text).not_to_contain_text("- ")
        expect(text).not_to_contain_text("director")
        expect(text.locator("p", has_text="[Not shown: based on a document that you cannot read]")).to_have_count(1)
        expect(text.locator("li", has_text="Not shown")).to_have_count(0)
        assert serious(page) == []
