"""The service behind the proxies that people have: nginx and Caddy, as they come and with our files."""

import socket
import time
from collections.abc import Iterator
from itertools import count
from urllib.parse import urlsplit

import pytest

from api.client import Client, RefusedError
from tests.support import proxies
from tests.support.cluster import wait_until
from tests.support.harbour import KEEPER, Harbour, Model, harbour
from tests.support.proxies import Proxy
from tests.support.raw_http import head

NGINX, CADDY = pytest.mark.needs_program("nginx"), pytest.mark.needs_program("caddy")
# Addresses of this machine that are no trusted proxies. Each may try to sign in once.
ADDRESSES = (f"127.0.{network}.1" for network in count(1))
LARGE = b"The tide turns at noon. " * 60_000  # 1.4 MB; nginx takes 1 MiB as it comes.
MODEL = Model()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), MODEL, sign_ins_per_minute=1) as service:
        yield service


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((proxies.nginx, False), marks=NGINX, id="nginx"),
        pytest.param((proxies.caddy, False), marks=CADDY, id="Caddy"),
        pytest.param((proxies.nginx, True), marks=NGINX, id="nginx with our file"),
        pytest.param((proxies.caddy, True), marks=CADDY, id="Caddy with our file"),
    ],
)
def any_proxy(
    request: pytest.FixtureRequest, service: Harbour, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    run, is_ours = request.param
    with run(tmp_path_factory.mktemp("proxy"), service.url, is_ours=is_ours) as proxy:
        yield proxy


@pytest.fixture(
    scope="module",
    params=[pytest.param(proxies.nginx, marks=NGINX, id="nginx"), pytest.param(proxies.caddy, marks=CADDY, id="Caddy")],
)
def our_proxy(
    request: pytest.FixtureRequest, service: Harbour, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    with request.param(tmp_path_factory.mktemp("proxy"), service.url, is_ours=True) as proxy:
        yield proxy


@pytest.fixture
def plain_nginx(service: Harbour, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with proxies.nginx(tmp_path_factory.mktemp("proxy"), service.url, is_ours=False) as proxy:
        yield proxy


@pytest.mark.parametrize("body", [{"question": KEEPER}, {"input": KEEPER, "model": "leadline"}], ids=["own", "openai"])
def test_an_event_arrives_while_the_model_has_not_begun(
    service: Harbour, any_proxy: Proxy, body: dict[str, str]
) -> None:
    path = "/v1/answers" if "question" in body else "/v1/responses"
    MODEL.pause.clear()
    try:
        with (
            any_proxy.connect(service.key) as http,
            http.stream("POST", path, json={**body, "stream": True}) as response,
        ):
            events = response.iter_text()
            assert next(events).startswith(("event:", "id:"))
            MODEL.go_on()
            assert "Ada" in "".join(events)
    finally:
        MODEL.go_on()


def test_a_file_over_one_mebibyte_is_uploaded_in_one_request_and_in_parts(service: Harbour, our_proxy: Proxy) -> None:
    with our_proxy.connect(service.key) as http:
        client = Client(http=http)
        for upload in (client.upload, client.upload_resumable):
            document = upload(LARGE, name=f"{upload.__name__}.txt")
            client.delete_document(document.id)


def test_an_interrupted_part_keeps_the_bytes_that_arrived(service: Harbour, our_proxy: Proxy) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    with our_proxy.connect(service.key) as http:
        created = http.post("/v1/uploads", headers={**tus, "Upload-Length": str(len(LARGE))})
        place = str(created.headers["location"])
        sent = head(
            "PATCH",
            place,
            **{"Content_Length": str(len(LARGE)), "Upload_Offset": "0", "Tus_Resumable": "1.0.0"},
            Content_Type="application/offset+octet-stream",
            Authorization=f"Bearer {service.key}",
        ).replace(b"Host: test", b"Host: 127.0.0.1")
        where = urlsplit(our_proxy.url)

        def interrupt() -> None:
            with (
                socket.create_connection((str(where.hostname), int(where.port or 0))) as plain,
                our_proxy.trust.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
            ):
                connection.sendall(sent + LARGE[:1_000_000])

        last_try = 0.0

        def has_kept_bytes() -> bool:
            # A busy proxy may notice the end of the connection before it has begun to forward the request.
            nonlocal last_try
            if time.monotonic() - last_try > 10:
                interrupt()
                last_try = time.monotonic()
            return int(http.head(place, headers=tus).headers["upload-offset"]) > 0

        wait_until(has_kept_bytes, what="the service has kept bytes of the interrupted upload")
        http.delete(place, headers=tus).raise_for_status()


@NGINX
def test_a_proxys_page_becomes_a_sentence_with_the_setting(service: Harbour, plain_nginx: Proxy) -> None:
    with plain_nginx.connect(service.key) as http, pytest.raises(RefusedError) as refused:
        Client(http=http).upload(LARGE, name="large.txt")
    assert refused.value.status == 413
    assert refused.value.detail.startswith("A proxy (nginx")
    assert "client_max_body_size" in refused.value.hint


def test_limits_count_the_address_of_the_client_which_it_cannot_choose(our_proxy: Proxy) -> None:
    one, other = next(ADDRESSES), next(ADDRESSES)

    def sign_in(address: str, claimed: str) -> int:
        with our_proxy.connect(address=address) as http:
            return http.post("/v1/sign-in", json={"key": "ll_wrong"}, headers={"X-Forwarded-For": claimed}).status_code

    assert (sign_in(one, "192.0.2.1"), sign_in(one, "192.0.2.2")) == (401, 429)
    assert sign_in(other, "192.0.2.1") == 401
