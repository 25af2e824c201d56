"""Pages for administrators, in a real browser over a real service: feedback, settings, limits and Slack."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account, Quota
from ingest.storage.slack.records import ChannelSettings, IncomingQuestion, QuestionState, Surface, Workspace
from rlm.events import Completed
from tests.support.browser import Portal, portal
from tests.support.marked_answers import build_marked_answer
from tests.support.portal_pages import WrittenAnswers, ready_document, serious

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]


def sign_in_with(opened: Portal, path: str, *scopes: Scope) -> Page:
    """Return a page of somebody who signs in with a key that has these scopes."""
    _, key = opened.services.keys.issue_key(DEFAULT_TENANT, "a key", scopes=scopes)
    page = opened.page()
    page.goto(f"{opened.url}/sign-in?to={path}")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{opened.url}{path}")
    return page


def ask_and_tell(client: Client) -> dict[str, str]:
    """Ask two questions; say of the first that it helped, and of the second what is wrong with it."""
    ready_document(client)
    answers = {}
    for question in ("Which colour had the whale?", "What was the captain called?"):
        body = {"question": question, "conversation": "new"}
        answers[question] = client.post("/v1/answers", body)["id"]
    first, second = answers.values()
    client.post(f"/v1/answers/{first}/feedback", {"rating": "up"})
    said = {"rating": "down", "comment": "=The captain was another.", "sentences": [2], "citations": [1]}
    client.post(f"/v1/answers/{second}/feedback", said)
    return answers


def test_feedback_is_listed_with_the_answer_and_what_was_marked_filtered_and_exported(
    service: tuple[Services, Client], opened: Portal
) -> None:
    ask_and_tell(service[1])
    page = opened.signed_in("/feedback")
    entries = page.locator("#rows > li")
    expect(entries).to_have_count(2)
    wrong = entries.first
    for words in ("Wrong", "What was the captain called?", "=The captain was another.", "1 sentence", "The Whale"):
        expect(wrong).to_contain_text(words)
    expect(wrong.locator(".wrong").first).to_contain_text("closest to the question")
    expect(wrong).to_contain_text("Answer:")
    wrong.locator(".whole-answer > summary").click()
    expect(wrong.locator(".answer-part")).to_contain_text("The captain was called Ahab.")
    expect(wrong.get_by_role("link", name="Open conversation")).to_be_visible()
    wrong.locator(".answer-part .cite").first.click()
    expect(page.locator("#beside")).to_contain_text("The captain was called Ahab.")
    assert serious(page) == []
    page.keyboard.press("Escape")
    page.get_by_label("Helpful").check()
    expect(entries).to_have_count(1)
    expect(entries).to_contain_text("Which colour had the whale?")
    page.get_by_label("Only with a comment").check()
    expect(page.locator("#empty")).to_contain_text("No feedback matches")
    page.get_by_label("All", exact=True).check()
    expect(entries).to_have_count(1)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export (CSV)").click()
    (row,) = csv.DictReader(io.StringIO(Path(waiting.value.path()).read_text()))
    assert (row["rating"], row["comment"], row["wrong_sentences"]) == ("down", "'=The captain was another.", "2")


def test_the_feedback_shows_answers_without_the_signs_of_markdown_and_places_in_the_language_of_the_page(
    service: tuple[Services, Client], said: WrittenAnswers, opened: Portal
) -> None:
    document = ready_document(service[1], "The rate is 5 %.")
    text = "The rates are:\n\n| Delay | Rate |\n|---|---|\n| 1 week | **5 %** [1] |\n"
    made = build_marked_answer([document], ["The rate is 5 %."], text)
    said.events = [Completed(replace(made, citations=tuple(replace(each, place="page 1") for each in made.citations)))]
    answer = service[1].post("/v1/answers", {"question": "Which rates?"})
    service[1].post(f"/v1/answers/{answer['id']}/feedback", {"rating": "down", "citations": [1]})
    opened.context.add_cookies([{"name": "leadline-language", "value": "de", "url": opened.url}])
    entry = opened.signed_in("/feedback").locator("#rows > li")
    expect(entry.locator("summary").first).to_contain_text("1 week · 5 %")
    expect(entry.locator("summary").first).not_to_contain_text("|")
    expect(entry.locator(".wrong")).to_contain_text("Seite 1")


def test_the_settings_in_force_are_shown_with_their_source_and_found_by_words(opened: Portal) -> None:
    page = opened.signed_in("/settings")
    groups = page.locator("#settings > details")
    expect(groups.first).to_contain_text("The service")
    expect(page.locator("#settings table")).to_have_count(10 - 1)  # a single process has no settings of a cluster
    page.get_by_label("Find a setting").fill("LLM_API")
    row = page.locator("#settings tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("LEADLINE_LLM_API_KEY")
    expect(row.locator("[data-label=Value]")).to_have_text("not set")
    page.get_by_label("Find a setting").fill("")
    page.get_by_label("Only those that differ").check()
    expect(page.get_by_text("LEADLINE_HOST", exact=True)).to_have_count(0)
    changed = page.locator("#settings tbody tr", has=page.get_by_text("LEADLINE_LLM", exact=True))
    expect(changed.locator("[data-label=Value]")).to_have_text("none")
    expect(changed.locator("[data-label=Default]")).to_have_text("local")
    assert serious(page) == []


def test_an_operator_changes_the_limits_of_the_organisation_and_it_is_logged(opened: Portal) -> None:
    quotas = opened.services.admission.meter.quotas
    quotas.set_limits(Account(DEFAULT_TENANT), {Quota.TOKENS_PER_DAY: 10_000})
    page = sign_in_with(opened, "/settings", Scope.ADMIN, Scope.READ, Scope.OPERATOR)
    amount = page.get_by_label("Tokens per day: amount")
    expect(amount).to_have_value("10000")
    amount.fill("many")
    page.get_by_role("button", name="Save limits").click()
    assert page.evaluate("document.querySelector('[name=tokens_per_day]').validationMessage").startswith(
        "Enter a whole"
    )
    amount.fill("2.5m")
    page.get_by_label("Cost per month", exact=True).select_option("limit")
    page.get_by_label("Cost per month: amount").fill("12.50")
    assert serious(page) == []
    page.get_by_role("button", name="Save limits").click()
    expect(amount).to_have_value("2500000")
    limits = quotas.load_limits(Account(DEFAULT_TENANT))["tenant"]
    assert limits == {Quota.TOKENS_PER_DAY: 2_500_000, Quota.DOLLARS_PER_MONTH: 12_500_000_000}
    page.get_by_label("Tokens per day", exact=True).select_option("default")
    with page.expect_response(lambda response: response.request.method == "PUT"):
        page.get_by_role("button", name="Save limits").click()
    expect(amount).to_be_hidden()
    assert Quota.TOKENS_PER_DAY not in quotas.load_limits(Account(DEFAULT_TENANT))["tenant"]
    page.goto(f"{opened.url}/audit")
    page.get_by_label("Action").select_option("quota.changed")
    expect(page.locator("#rows tr").nth(1)).to_contain_text("Tokens per day 2,500,000")
    expect(page.locator("#rows tr").nth(1)).to_contain_text("$12.50")


def test_an_admin_sets_limits_up_to_those_of_the_operator(opened: Portal) -> None:
    quotas = opened.services.admission.meter.quotas
    quotas.set_limits(Account(DEFAULT_TENANT), {Quota.DOCUMENTS: 10})
    page = opened.signed_in("/settings")
    expect(page.locator("#limits")).to_contain_text("Only an operator can raise those")
    expect(page.locator("#limits tr", has_text="Documents")).to_contain_text("0 used")
    expect(page.locator("#limits tr", has_text="Tokens per day")).to_contain_text("0 used")
    page.get_by_label("Tokens per day", exact=True).select_option("limit")
    page.get_by_label("Tokens per day: amount").fill("200,000")
    page.get_by_label("Documents", exact=True).select_option("limit")
    page.get_by_label("Documents: amount").fill("11")
    page.get_by_role("button", name="Save limits").click()
    assert "at most 10" in page.evaluate("document.querySelector('[name=documents]').validationMessage")
    page.get_by_label("Documents: amount").fill("4")
    assert serious(page) == []
    with page.expect_response(lambda response: response.request.method == "PUT"):
        page.get_by_role("button", name="Save limits").click()
    limits = quotas.load_limits(Account(DEFAULT_TENANT))["tenant"]
    assert limits == {Quota.TOKENS_PER_DAY: 200_000, Quota.DOCUMENTS: 4}


AMOUNTS = """async (texts) => {
  const script = document.querySelector('script[src$="/settings.js"]')
  const { readAmount } = await import(script.src.replace('settings.js', 'quotas.js'))
  return texts.map((text) => String(readAmount('tokens_per_day', text)))
}"""


def test_an_amount_with_groups_is_read_as_its_language_writes_it_or_refused(opened: Portal) -> None:
    page = opened.signed_in("/settings")
    page.get_by_label("Tokens per day", exact=True).select_option("limit")
    amount = page.get_by_label("Tokens per day: amount")
    amount.fill("200.000")
    page.get_by_role("button", name="Save limits").click()
    told = page.evaluate("document.querySelector('[name=tokens_per_day]').validationMessage")
    assert told == "Enter a whole number, such as 250,000, 2.5m or 10g."
    texts = ["200,000", "200000", "2.5m", "2,5m", "20,00", "1,234.567", "1.5"]
    assert page.evaluate(AMOUNTS, texts) == ["200000", "200000", "2500000", "NaN", "NaN", "NaN", "NaN"]


def test_a_german_page_reads_amounts_with_dots_between_groups(
    service: tuple[Services, Client], browser: Browser
) -> None:
    with portal(service[0], browser, locale="de-DE") as opened:
        page = opened.signed_in("/settings")
        page.locator("[name=tokens_per_day-kind]").select_option("limit")
        page.locator("[name=tokens_per_day]").fill("200.000")
        with page.expect_response(lambda response: response.request.method == "PUT"):
            page.locator("#limits [type=submit]").click()
        expect(page.locator("[name=tokens_per_day]")).to_have_value("200000")
    limits = service[0].admission.meter.quotas.load_limits(Account(DEFAULT_TENANT))["tenant"]
    assert limits == {Quota.TOKENS_PER_DAY: 200_000}


def test_a_search_for_a_setting_takes_words_in_any_order_and_says_if_there_is_none(opened: Portal) -> None:
    page = opened.signed_in("/settings")
    page.get_by_label("Find a setting").fill("bytes upload max")
    expect(page.get_by_text("LEADLINE_MAX_UPLOAD_BYTES", exact=True)).to_be_visible()
    page.get_by_label("Find a setting").fill("colour of the sea")
    expect(page.locator("#empty")).to_contain_text("Nothing found for “colour of the sea”")
    expect(page.locator("#empty")).to_be_in_viewport()


def test_an_admin_limits_a_key_whose_dialog_names_it_and_stays_readable(opened: Portal) -> None:
    services = opened.services
    key, _ = services.keys.issue_key(DEFAULT_TENANT, "nightly upload")
    page = opened.signed_in("/settings")
    page.get_by_role("link", name="Keys").click()
    page.get_by_role("button", name="Limits nightly upload").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(key.id)
    dialog.get_by_label("Documents", exact=True).select_option("limit")
    dialog.get_by_label("Documents: amount").fill("5")
    for heading in dialog.locator("tbody th").all():
        assert heading.evaluate("cell => cell.scrollHeight <= 2.5 * parseFloat(getComputedStyle(cell).lineHeight)")
    assert dialog.evaluate("place => place.scrollWidth <= place.clientWidth")
    assert serious(page) == []
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    assert services.admission.meter.quotas.load_limits(Account(DEFAULT_TENANT, key.id))["key"] == {Quota.DOCUMENTS: 5}


def test_slack_that_is_not_set_up_shows_the_steps_and_the_manifest(opened: Portal) -> None:
    page = opened.signed_in("/slack")
    expect(page.locator("#state")).to_contain_text("The bot is not set up")
    expect(page.locator("#setup > ol > li")).to_have_count(4)
    page.get_by_text("Show the manifest").click()
    expect(page.locator("#setup pre")).to_contain_text('"socket_mode_enabled": true')
    expect(page.get_by_role("button", name="Check the connection")).to_be_hidden()
    assert serious(page) == []


def test_the_state_of_slack_is_shown_without_a_request_to_slack_and_checked_on_demand(opened: Portal) -> None:
    services = opened.services
    store = services.slack.store
    workspace = Workspace("T1", DEFAULT_TENANT, "Harbour", "UBOT", "xoxb-hush", ("chat:write",), "U1")
    store.install_workspace(workspace)
    store.set_channel_settings(workspace, "C1", ChannelSettings(("plans",)), "U1")
    asked = IncomingQuestion("T1", DEFAULT_TENANT, "C1", "1", "1", "U1", Surface.CHANNEL, "Which colour?")
    store.store_question(asked, ["event"])
    store.end_question(store.claim()[0], QuestionState.ANSWERED, "model_unavailable")
    services.settings = services.settings.model_copy(
        update={"slack_signing_secret": "hush", "slack_api_url": "http://127.0.0.1:9/"}
    )
    page = opened.signed_in("/slack")
    state = page.locator("#state")
    for words in ("The app needs more permissions in Slack", "im:history", "Harbour", "model_unavailable", "1 person"):
        expect(state).to_contain_text(words)
    expect(page.locator("#channels tr")).to_contain_text("plans")
    expect(page.locator("#setup-part")).to_be_hidden()
    page.get_by_role("button", name="Check the connection").click()
    expect(page.locator("#findings")).to_contain_text("keep")
    expect(page.locator("#findings tr", has_text="bot token")).to_contain_text("Install the app in a workspace")
    assert "xoxb-hush" not in page.content()
    assert serious(page) == []


def test_administrators_are_told_once_that_the_built_in_model_answers(
    service: tuple[Services, Client], opened: Portal
) -> None:
    opened.services.settings = opened.services.settings.model_copy(update={"llm": "local"})
    model = {"model": "a small model", "is_built_in": True}
    status = {**service[1].get("/v1/status"), "language_model": model}
    opened.context.route("**/v1/status", lambda route: route.fulfill(json=status))
    page = opened.signed_in("/ask")
    banner = page.locator(".admin-banner")
    expect(banner).to_contain_text("Answers come from the small built-in model")
    expect(banner).to_contain_text("LEADLINE_LLM")
    assert serious(page) == []
    banner.get_by_role("button", name="Dismiss").click()
    expect(banner).to_have_count(0)
    page.goto(f"{opened.url}/usage")
    page.wait_for_load_state("networkidle")
    expect(banner).to_have_count(0)
    reader = sign_in_with(opened, "/ask", Scope.READ, Scope.ASK)
    reader.evaluate("localStorage.clear()")
    reader.reload()
    reader.wait_for_load_state("networkidle")
    expect(reader.locator(".admin-banner")).to_have_count(0)
