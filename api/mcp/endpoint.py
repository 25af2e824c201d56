"""The route `/mcp`: checks host names, and forwards requests to the MCP SDK's server."""

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.admission.admission import Identify
from api.admission.services import Services
from api.http.problems import ApiError
from api.mcp.places import PATH, Capacity
from api.settings.settings import Settings

if TYPE_CHECKING:
    from mcp.server.lowlevel.server import Server

METADATA_PATH = f"/.well-known/oauth-protected-resource{PATH}"
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


class UnknownHostError(ApiError):
    """The request was sent to a host name that does not belong to the service, or by a page of another site."""

    code = "unknown_host"
    status = 421
    default_hint = (
        "Set LEADLINE_PUBLIC_URL to the address that clients use, or add this host to "
        "LEADLINE_MCP_HOSTS; or configure the proxy to forward the original Host header."
    )


class McpEndpoint:
    """The ASGI application of `/mcp`. Its server is created on the first request and then keeps running."""

    def __init__(self, services: Services, identify: Identify, capacity: Capacity) -> None:
        self._hosts = list_allowed_hosts(services.settings)
        self._made_of = services, identify, capacity
        self._made: tuple[Server[dict[str, object]], ASGIApp] | None = None
        self._started: asyncio.Future[ASGIApp] | None = None
        self._running: asyncio.Task[None] | None = None

    def ensure_application(self) -> "tuple[Server[dict[str, object]], ASGIApp]":
        """Return the SDK's server and application. The SDK is imported lazily, because its import takes 0.5 s."""
        if self._made is None:
            from api.mcp.protocol import build_application

            self._made = build_application(*self._made_of)
        return self._made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # guard: mcp-known-host
        self._require_known_host(scope)
        application = await self._ensure_server_running()
        await application(scope, receive, send)

    def _require_known_host(self, scope: Scope) -> None:
        """Raise `UnknownHostError` if a page of another site may have caused the browser to send the request."""
        named = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
        host = urlsplit(f"//{named.get(b'host', '')}").hostname
        if host not in self._hosts:
            raise UnknownHostError(f"{str(host)[:100]!r} is not a host name of this service.")
        origin = named.get(b"origin")
        if origin and urlsplit(origin).hostname not in self._hosts:
            raise UnknownHostError(f"{origin[:100]!r} is not an origin of this service.")

    async def _ensure_server_running(self) -> ASGIApp:
        """Run the server in its own task, which ends with the event loop."""
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._running = asyncio.create_task(self._run_server(self._started))
        # Shield the startup from cancellation, because one client's disconnect must not cancel it for the other
        # clients.
        return await asyncio.shield(self._started)

    async def _run_server(self, application_future: "asyncio.Future[ASGIApp]") -> None:
        try:
            server, application = await asyncio.to_thread(self.ensure_application)
        except Exception as error:  # noqa: BLE001 - raised in each request
            application_future.set_exception(error)
            return
        async with server.session_manager.run():
            application_future.set_result(application)
            await asyncio.Event().wait()


def install_endpoint(app: FastAPI, services: Services, identify: Identify) -> None:
    """Add the route. If there is an identity provider, also add the metadata that clients need to find it."""
    endpoint = McpEndpoint(services, identify, Capacity(app.state.answer_threads, app.state.streams))
    if services.settings.mcp_state_keys is not None:
        endpoint.ensure_application()  # Build the server at startup, so that invalid keys prevent the startup.
    app.router.routes.append(Route(PATH, endpoint, methods=["POST"], include_in_schema=False))
    public = services.settings.public_url
    if services.settings.oidc_issuer is not None and public is not None:
        app.state.mcp_metadata = f"{public.rstrip('/')}{METADATA_PATH}"
        app.router.routes.append(Route(METADATA_PATH, endpoint, methods=["GET"], include_in_schema=False))


def list_allowed_hosts(settings: Settings) -> frozenset[str]:
    """Return the host names at which the endpoint accepts requests."""
    public = urlsplit(settings.public_url or "").hostname
    further = (each.strip().lower() for each in settings.mcp_hosts.split(","))
    return _LOOPBACK_HOSTS | {each for each in (public, *further) if each}
