"""Where links lead that sign somebody in."""

import pytest

from api.portal.links import get_own_url
from api.settings.settings import Settings


def address(host: str, **settings: object) -> str:
    scope = {"headers": [(b"host", host.encode())], "server": ("10.0.0.5", 8123)}
    return get_own_url(Settings.model_validate(settings), scope)


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:9000", "[::1]:9000", "localhost"])
def test_a_link_leads_to_the_address_of_this_machine_under_which_it_was_asked_for(host: str) -> None:
    assert address(host) == f"http://{host}"


@pytest.mark.parametrize("host", ["evil.test", "evil.test:8123", "evil.test\\@localhost", "localhost.evil.test", ""])
def test_a_link_does_not_lead_to_another_host_that_a_request_names(host: str) -> None:
    assert address(host) == "http://127.0.0.1:8123"


def test_a_link_leads_to_the_public_url_whatever_the_request_names() -> None:
    assert address("evil.test", public_url="https://leadline.example.org/") == "https://leadline.example.org"
