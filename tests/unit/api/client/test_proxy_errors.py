"""Pages of proxies before the service, as errors of the Python client and the command line."""

import httpx
import pytest

from api.client import RefusedError, ServiceError, UnavailableError
from api.client.errors import build_response_error

PAGE = "<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center><hr>nginx</body></html>"


@pytest.mark.parametrize(
    ("status", "kind", "detail", "setting"),
    [
        (413, RefusedError, "rejected the request because it is too large", "client_max_body_size"),
        (502, UnavailableError, "cannot reach the service", "proxy_pass"),
        (503, UnavailableError, "cannot reach the service", "proxy_pass"),
        (504, UnavailableError, "stopped waiting for the service", "proxy_read_timeout"),
        (407, RefusedError, "responded instead of the service", "its log"),
    ],
)
def test_a_proxys_page_names_the_proxy_and_its_setting(
    status: int, kind: type[ServiceError], detail: str, setting: str
) -> None:
    page = httpx.Response(status, html=PAGE.format(title=status), headers={"Server": "nginx/1.26.3"})
    error = build_response_error(page)
    assert type(error) is kind
    assert error.detail == f"A proxy (nginx/1.26.3) {detail} (status {status})."
    assert setting in error.hint


def test_a_proxy_without_a_name_is_a_proxy() -> None:
    assert build_response_error(httpx.Response(504)).detail == "A proxy stopped waiting for the service (status 504)."


def test_the_service_itself_is_no_proxy() -> None:
    response = httpx.Response(500, text="", headers={"X-Request-Id": "r1", "Server": "uvicorn"})
    assert build_response_error(response).detail == "The service responded with status 500."
