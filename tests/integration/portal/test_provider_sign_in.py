"""Signing in to the portal and out of it with a certified identity provider, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from api.admission.services import Services
from api.client import Client
from tests.support.browser import Portal, portal
from tests.support.certified_provider import CertifiedProvider, running_provider
from tests.support.portal_pages import ready_document
from tests.support.service import running

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium"), pytest.mark.needs_program("node")]


@pytest.fixture(scope="module")
def provider() -> Iterator[CertifiedProvider]:
    with running_provider() as made:
        yield made


@pytest.fixture
def service(provider: CertifiedProvider, tmp_path: Path) -> Iterator[tuple[Services, Client]]:
    with running(tmp_path / "home", **provider.settings) as made:
        yield made


@pytest.fixture
def opened(service: tuple[Services, Client], provider: CertifiedProvider, browser: Browser) -> Iterator[Portal]:
    with portal(service[0], browser) as made:
        made.provider_url = provider.url
        provider.set_service(made.url)
        yield made


def sign_in(page: Page, login: str = "ann") -> None:
    """Sign in at the provider from the page on which one chooses to."""
    page.get_by_role("link", name="Sign in with your organisation").click()
    page.get_by_label("Login").fill(login)
    page.get_by_role("button", name="Go").click()


def test_the_first_sign_in_with_default_settings_lands_on_the_page_that_was_asked_for(opened: Portal) -> None:
    page = opened.page()
    page.goto(f"{opened.url}/runs")
    sign_in(page)
    page.wait_for_url(f"{opened.url}/runs")
    expect(page.locator("#account")).to_contain_text("Ann Archer")
    page.locator("#account").click()
    expect(page.locator("#account-dialog")).to_contain_text("lawyers")
    page.locator("#sign-out").click()
    page.wait_for_url(f"{opened.url}/sign-in*")
    page.goto(f"{opened.url}/runs")
    page.wait_for_url(f"{opened.url}/sign-in?to=*")


def test_somebody_signs_out_at_the_provider_too(opened: Portal) -> None:
    page = opened.page()
    page.goto(f"{opened.url}/runs")
    sign_in(page)
    page.wait_for_url(f"{opened.url}/runs")
    page.locator("#account").click()
    page.get_by_role("button", name="Sign out at the identity provider, too").click()
    page.wait_for_url(f"{opened.provider_url}/**")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{opened.url}/sign-in*")
    page.get_by_role("link", name="Sign in with your organisation").click()
    expect(page.get_by_label("Login")).to_be_visible()


def test_a_document_is_shared_with_a_person_by_mail_address(
    service: tuple[Services, Client], opened: Portal, provider: CertifiedProvider
) -> None:
    provider.change_account("eve-7", name="Eve Adams", email="eve@example.org", email_verified=True)
    document = ready_document(service[1])["id"]
    path = f"{opened.url}/library/{document}"
    with opened.somebody_else("/library") as of_ann, opened.somebody_else("/library") as of_eve:
        sign_in(of_ann, "ann")
        sign_in(of_eve, "eve-7")
        of_ann.goto(path)
        expect(of_ann.get_by_role("heading", name="The Whale").first).to_be_visible()
        expect(of_eve.locator("#account")).to_contain_text("Eve Adams")
        page = opened.signed_in(f"/library/{document}")
        page.get_by_role("button", name="Permissions").click()
        page.get_by_label("Only these people and groups").check()
        page.get_by_role("combobox").fill("eve@example.org")
        page.locator("#found-readers").get_by_role("option").filter(has_text="Eve Adams").click()
        page.get_by_role("button", name="Change").click()
        expect(page.locator("#access")).to_contain_text("Only Eve Adams can read this.")
        assert service[1].get(f"/v1/documents/{document}")["readers"] == ["user:eve-7"]
        of_eve.goto(path)
        expect(of_eve.get_by_role("heading", name="The Whale").first).to_be_visible()
        closed = of_ann.goto(path)
        assert closed is not None
        assert closed.status == 404


def test_a_refusal_of_the_provider_is_shown_with_its_reason(opened: Portal, provider: CertifiedProvider) -> None:
    provider.change_account("bob", disabled=True)
    page = opened.page()
    page.goto(f"{opened.url}/sign-in")
    sign_in(page, "bob")
    expect(page.locator("#provider-reason")).to_have_text("access_denied: This account is disabled.")
    page.context.clear_cookies()
    changed = {"oidc_request_scope": "openid payroll"}
    opened.services.settings = opened.services.settings.model_copy(update=changed)
    page.get_by_role("link", name="Sign in with your organisation").click()
    expect(page.locator("#provider-reason")).to_have_text("invalid_scope: requested scope is not allowed")
    expect(page.get_by_role("alert")).to_contain_text("LEADLINE_OIDC_REQUEST_SCOPE")
