"""Which addresses may be sent to, however they are written."""

import asyncio
import ipaddress
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.errors import DestinationRejectedError
from ingest.storage.webhooks.destinations import Destinations

PUBLIC = Destinations()


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.216.34/",  # without TLS
        "ftp://93.184.216.34/",
        "https://",
        "https://user@93.184.216.34/",
        "https://93.184.216.34/#fragment",
        "https://93.184.216.34:99999/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://10.0.0.5:8443/",
        "https://172.16.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data/",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "https://[fec0::1]/",
        "https://[3fff::1]/",
        "https://[2001:db8::1]/",
        "https://192.0.0.192/",
        "https://192.88.99.1/",
    ],
)
def test_what_is_not_public_is_refused_as_it_is_written(url: str) -> None:
    with pytest.raises(DestinationRejectedError):
        PUBLIC.check_url(url)


@pytest.mark.parametrize("host", ["93.184.216.34", "[2606:2800:220:1:248:1893:25c8:1946]", "example.org"])
def test_public_addresses_are_taken_by_tls(host: str) -> None:
    destination = PUBLIC.check_url(f"https://{host}:8443/a?b=c")
    assert (destination.port, destination.target, destination.host_header) == (8443, "/a?b=c", f"{host}:8443")


@given(st.ip_addresses(network="0.0.0.0/0"))
def test_nothing_that_is_not_global_is_taken(address: ipaddress.IPv4Address) -> None:
    try:
        PUBLIC.check_url(f"https://{address}/")
    except DestinationRejectedError:
        return
    assert address.is_global
    assert not address.is_multicast
    assert not address.is_reserved


@pytest.mark.parametrize("host", ["93.184.216.34", "hooks.example.org"])
def test_public_addresses_are_reached_at_the_ports_that_are_set_and_at_no_others(host: str) -> None:
    with pytest.raises(DestinationRejectedError, match="Port 22 of") as refused:
        PUBLIC.check_url(f"https://{host}:22/")
    assert "port 443 and 8443" in refused.value.hint
    assert Destinations.parse("", "9443, 443").check_url(f"https://{host}:9443/").port == 9443
    with pytest.raises(DestinationRejectedError):
        Destinations.parse("", "9443").check_url(f"https://{host}/")
    for ports in ("0", "65536", "https"):
        with pytest.raises(ValueError, match=r"port|https"):
            Destinations.parse("", ports)


def test_a_name_that_may_be_in_a_network_is_judged_by_its_port_once_its_address_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some = Destinations.parse("10.0.0.0/8")
    for address, refused in (("10.0.0.1", False), ("93.184.216.34", True)):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 9000))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, found=found, **__: found)
        some.check_url("https://hooks.example.org:9000/")
        if refused:
            with pytest.raises(DestinationRejectedError, match="Port 9000"):
                asyncio.run(some.resolve("https://hooks.example.org:9000/"))
        else:
            asyncio.run(some.resolve("https://hooks.example.org:9000/"))


def test_networks_that_are_set_are_reached_also_without_tls_and_others_are_not() -> None:
    some = Destinations.parse("10.1.0.0/16, 127.0.0.1/32")
    assert some.check_url("http://10.1.2.3:9000/x").host_header == "10.1.2.3:9000"
    for url in ("http://10.2.0.1/", "http://127.0.0.2/", "http://93.184.216.34/"):
        with pytest.raises(DestinationRejectedError):
            some.check_url(url)
    with pytest.raises(ValueError, match="nowhere"):
        Destinations.parse("nowhere")


@pytest.mark.parametrize(
    ("found", "refused"),
    [
        (["93.184.216.34"], False),
        (["127.0.0.1"], True),
        (["93.184.216.34", "169.254.169.254"], True),
        (["::1"], True),
        (["fe80::1%eth0"], True),
    ],
)
def test_a_name_is_judged_by_the_addresses_that_it_has(
    monkeypatch: pytest.MonkeyPatch, found: list[str], refused: bool
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:  # noqa: ANN401 - as the resolver
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    if refused:
        with pytest.raises(DestinationRejectedError):
            asyncio.run(PUBLIC.resolve("https://hooks.example.org/x"))
        return
    destination, addresses = asyncio.run(PUBLIC.resolve("https://hooks.example.org/x"))
    assert [destination.build_url(address) for address in addresses] == ["https://93.184.216.34:443/x"]
    assert destination.host_header == "hooks.example.org"
