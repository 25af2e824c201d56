"""Sends requests to addresses that `Destinations` has checked."""

import ssl
from collections.abc import Mapping

import httpx

from ingest.storage.webhooks.destinations import Destination, Destinations


def open_client(tls: ssl.SSLContext, *, limits: httpx.Limits | None = None) -> httpx.AsyncClient:
    """Open a client for `send_request`.

    By default no connection is kept alive, because a connection opened for one host name must not be reused for another
    name at the same address. A client that keeps connections must be used for a single host name.
    """
    limits = limits or httpx.Limits(max_keepalive_connections=0)
    # A proxy from the environment or a redirect could lead to an unchecked address, so the client uses neither.
    # guard: webhook-no-proxy
    # guard: webhook-no-redirect
    return httpx.AsyncClient(verify=tls, limits=limits, trust_env=False, follow_redirects=False)


async def send_request(
    http: httpx.AsyncClient,
    destinations: Destinations,
    method: str,
    url: str,
    headers: Mapping[str, str],
    content: bytes | None = None,
) -> httpx.Response:
    """Send a request to the first address of the host that accepts a connection. The response is not read yet.

    Raises `DestinationRejectedError` and `httpx.HTTPError`.
    """
    destination, addresses = await destinations.resolve(url)
    for address in addresses[:-1]:
        try:
            return await _send_to_url(http, method, destination.build_url(address), destination, headers, content)
        except httpx.ConnectError:
            continue
    # guard: webhook-checked-address
    return await _send_to_url(http, method, destination.build_url(addresses[-1]), destination, headers, content)


async def _send_to_url(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    destination: Destination,
    headers: Mapping[str, str],
    content: bytes | None,
) -> httpx.Response:
    named = {"sni_hostname": destination.host} if destination.scheme == "https" else {}
    headers = {"Host": destination.host_header, "User-Agent": "Leadline", **headers}
    request = http.build_request(method, url, content=content, headers=headers, extensions=named)
    return await http.send(request, stream=True)
