"""What requests without a key may take, over a real server: bytes of bodies, places, and requests a minute."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.raw_http import answer, connected, head
from tests.support.service import listening, running

KIB = 1024


@contextmanager
def served(home: Path, **settings: object) -> Iterator[tuple[str, str]]:
    """A service on a port: its URL and a key."""
    with running(home, language_model=None, **settings) as (services, _), listening(services) as found:
        yield found


def sign_in(url: str, sent: bytes, *, length: int, address: str = "192.0.2.1") -> tuple[int, dict[str, str], Any]:
    """Send a part of a sign-in's body, and read the answer."""
    with connected(url) as connection:
        connection.sendall(_begun(address, length) + sent)
        return answer(connection)


def _begun(address: str, length: int) -> bytes:
    return head("POST", "/v1/sign-in", Content_Length=str(length), X_Forwarded_For=address)


def attempt(url: str, address: str) -> httpx.Response:
    return httpx.post(f"{url}/v1/sign-in", json={"key": "ll_wrong"}, headers={"X-Forwarded-For": address})


def test_a_body_without_a_key_is_small_whether_its_length_is_announced_or_not(tmp_path: Path) -> None:
    with served(tmp_path) as (url, key):
        for path in ("/v1/sign-in", "/openapi.json", "/sign-in", "/problems/unauthorized"):
            with connected(url) as connection:
                connection.sendall(head("POST", path, Content_Length=str(32 * KIB + 1)))
                status, _, body = answer(connection)
            assert (status, body["code"]) == (413, "body_too_large")

        def pieces() -> Iterator[bytes]:
            for _ in range(5):
                yield b" " * 8 * KIB

        assert httpx.post(f"{url}/v1/sign-in", content=pieces()).status_code == 413
        assert httpx.post(f"{url}/slack/events", content=b" " * 200 * KIB).status_code != 413
        large = httpx.post(
            f"{url}/v1/search", json={"query": "whale" + " " * 200 * KIB}, headers={"Authorization": f"Bearer {key}"}
        )
        assert large.json()["code"] != "body_too_large"


def test_bodies_without_a_key_have_a_share_for_each_address_and_a_limit_together(tmp_path: Path) -> None:
    with served(tmp_path, anonymous_bytes=64 * KIB) as (url, _), ExitStack() as stack:
        for number in range(1, 6):  # 15 KiB of 16 for each address
            held = stack.enter_context(connected(url))
            address = f"192.0.2.{number}"
            held.sendall(_begun(address, 16 * KIB) + b" " * 15 * KIB)
            if number == 1:
                _until_held(url, address)
        status, headers, body = sign_in(url, b" " * 15 * KIB, length=16 * KIB, address="192.0.2.9")
        assert (status, body["code"]) == (503, "service_busy")
        assert int(headers["retry-after"]) > 0


def _until_held(url: str, address: str) -> None:
    """Wait until the server has read the body that the address holds, by asking for more from the same address."""
    refused = threading.Event()
    while not refused.is_set():
        status, _, body = sign_in(url, b" " * 4 * KIB, length=4 * KIB, address=address)
        if status == 429:
            assert body["code"] == "address_limit"
            refused.set()


def test_an_address_may_try_to_sign_in_so_often_in_a_minute_and_others_still_can(tmp_path: Path) -> None:
    with served(tmp_path, sign_ins_per_minute=3) as (url, key):
        assert [attempt(url, "192.0.2.1").status_code for _ in range(4)] == [401, 401, 401, 429]
        refused = attempt(url, "192.0.2.1")
        assert refused.json()["code"] == "address_limit"
        assert int(refused.headers["retry-after"]) > 0
        assert attempt(url, "192.0.2.2").status_code == 401
        with_key = {"Authorization": f"Bearer {key}", "X-Forwarded-For": "192.0.2.1"}
        assert httpx.get(f"{url}/v1/status", headers=with_key).status_code == 200


def test_addresses_of_one_ipv6_network_count_as_one(tmp_path: Path) -> None:
    with served(tmp_path, sign_ins_per_minute=1) as (url, _):
        assert attempt(url, "2001:db8::1").status_code == 401
        assert attempt(url, "2001:db8::2").status_code == 429
        assert attempt(url, "2001:db8:0:1::1").status_code == 401


def test_public_requests_of_an_address_are_limited_and_health_and_files_of_the_portal_are_not(tmp_path: Path) -> None:
    with served(tmp_path, anonymous_per_minute=2) as (url, _):
        for status in (200, 200, 429):
            assert httpx.get(f"{url}/problems/unauthorized").status_code == status
        for path in ("/health/live", "/health/ready", "/portal/assets/portal.css"):
            assert httpx.get(f"{url}{path}").status_code != 429


def test_an_address_has_so_many_requests_without_a_key_open(tmp_path: Path) -> None:
    with served(tmp_path, requests_at_once=8) as (url, _), connected(url) as held:
        held.sendall(_begun("192.0.2.1", 100))
        while (refused := attempt(url, "192.0.2.1")).status_code != 429:
            pass
        assert refused.json()["detail"] == "Your address already has 1 open request without a key."
        assert attempt(url, "192.0.2.2").status_code == 401


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_bodies_and_idle_connections_of_strangers_take_no_memory_and_health_is_answered(tmp_path: Path) -> None:
    from tests.support.public_attack import MIB, hold_bodies, hold_idle, served_process

    with served_process(tmp_path) as (url, pid):
        for figures in (hold_bodies(url, pid, "/v1/sign-in"), hold_idle(url, pid)):
            assert figures.grown <= 64 * MIB, figures
            assert set(figures.statuses) == {200}, figures
