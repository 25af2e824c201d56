"""From the printed link to a checked answer about a PDF of one's own, with a click for each thing to decide."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from api.build.language_model import RemoteLanguageModel
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.browser import portal
from tests.support.harbour import KEEPER, Model
from tests.support.pdf_files import pdf
from tests.support.scripted_openai import scripted_openai
from tests.support.service import running

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

OWN = [
    ["The harbour of Norsund", "The keeper of the lighthouse was Ada Brandt.", "She lit the lamp for the first time."]
]


def test_somebody_who_has_never_been_here_gets_a_checked_answer_about_a_pdf_with_few_clicks(
    browser: Browser, tmp_path: Path
) -> None:
    own = tmp_path / "harbour.pdf"
    own.write_bytes(pdf(OWN))
    profile = ModelProfile("scripted", 32_000, 4_000)
    with scripted_openai(Model(), window_tokens=32_000) as server:
        model = RemoteLanguageModel(server.url, ChatModel(build_remote_chat_model(server.url, profile), profile))
        with running(tmp_path / "home", language_model=model) as (services, _), portal(services, browser) as opened:
            page = opened.page()
            page.add_init_script(
                "addEventListener('click', event => { if (event.isTrusted) sessionStorage.clicks = "
                "Number(sessionStorage.clicks ?? 0) + 1 }, true)"
            )
            page.goto(opened.link())
            expect(page.get_by_role("heading", name="No documents yet")).to_be_visible()
            with page.expect_file_chooser() as chooser:
                page.get_by_role("button", name="Choose files").click()
            chooser.value.set_files(own)
            page.get_by_role("region", name="Uploads").get_by_role("link", name="Ask about it").click()
            expect(page.get_by_label("Your question")).to_be_focused()
            page.keyboard.type(KEEPER)
            page.keyboard.press("Enter")
            expect(page.locator(".answer .check").first).to_have_attribute("aria-label", "Proven")
            page.locator(".answer .cite").first.click()
            expect(page.locator("#beside mark")).to_have_text("keeper of the lighthouse was Ada Brandt")
            expect(page.locator("#beside .sheet .box").first).to_be_visible()
            assert page.evaluate("sessionStorage.clicks") == "3"
