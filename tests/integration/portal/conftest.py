"""A browser for all of these tests, and for each a service of its own with the portal open in it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser

from api.admission.services import Services
from api.client import Client
from tests.support.browser import Portal, chromium, portal
from tests.support.portal_pages import WrittenAnswers


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture
def said(service: tuple[Services, Client]) -> WrittenAnswers:
    made = WrittenAnswers()
    service[0].asking = replace(service[0].asking, answering=made)
    return made


@pytest.fixture
def opened(service: tuple[Services, Client], browser: Browser) -> Iterator[Portal]:
    with portal(service[0], browser) as made:
        yield made
