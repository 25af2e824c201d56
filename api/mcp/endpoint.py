"""`/mcp` as a route of the application: who may call it, under which host names, and the SDK's server behind it."""

import asyncio
from urllib.parse import urlsplit

from fastapi import FastAPI
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.admission import Identify
from api.mcp.asking import Places
from api.mcp.server import make_server
from api.problems import ApiError
from api.services import Services
from api.settings import Settings
from ingest.identity import Principal

PATH = "/mcp"
METADATA_PATH = f"/.well-known/oauth-protected-resource{PATH}"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class UnknownHostError(ApiError):
    """The request was sent to a host name that is not the service's, or from a page of another site."""

    code = "unknown_host"
    status = 421
    default_hint = (
        "Set LEADLINE_PUBLIC_URL to the address that clients use, or name this host in LEADLINE_MCP_HOSTS; a proxy "
        "may also pass the Host on that it was asked for."
    )


class KeyVerifier(TokenVerifier):
    """Verifies API keys, and tokens of the identity provider, as bearer tokens of the protocol."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    async def verify_token(self, token: str) -> AccessToken | None:
        caller = await self._identify(token)
        return None if caller is None else _access(token, caller)


class Endpoint:
    """An ASGI application for the one path of the protocol; its server runs from the first request on.

    Each request stands alone, at both dates of the protocol, so that any replica can answer it.
    """

    def __init__(self, services: Services, identify: Identify, places: Places) -> None:
        settings = services.settings
        self._hosts = allowed_hosts(settings)
        self._server = make_server(services, places)
        self._app = self._server.streamable_http_app(
            streamable_http_path=PATH,
            stateless_http=True,
            max_request_body_size=settings.max_body_bytes,
            # Hosts are checked here, with an error that says what to set.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
            auth=auth_settings(settings),
            token_verifier=KeyVerifier(identify),
        )
        self._begun: asyncio.Future[None] | None = None
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._require_known_host(scope)
        await self._begin()
        await self._app(scope, receive, send)

    def _require_known_host(self, scope: Scope) -> None:
        """Refuse what a page of another site may have had a browser send. Raises `UnknownHostError`."""
        named = {name: value.decode("latin-1") for name, value in scope["headers"] if name in (b"host", b"origin")}
        host = urlsplit(f"//{named.get(b'host', '')}").hostname
        if host not in self._hosts:
            raise UnknownHostError(f"{str(host)[:100]!r} is no name of this service.")
        origin = named.get(b"origin")
        if origin and urlsplit(origin).hostname not in self._hosts:
            raise UnknownHostError(f"{origin[:100]!r} is no site of this service.")

    async def _begin(self) -> None:
        """Run the server's tasks in one of their own, which the end of the event loop ends."""
        if self._begun is None:
            self._begun = asyncio.get_running_loop().create_future()
            self._running = asyncio.create_task(self._run(self._begun))
        await asyncio.shield(self._begun)

    async def _run(self, begun: "asyncio.Future[None]") -> None:
        async with self._server.session_manager.run():
            begun.set_result(None)
            await asyncio.Event().wait()


def install(app: FastAPI, services: Services, identify: Identify) -> None:
    """Add the route, and the metadata that leads clients to the identity provider, if there is one."""
    endpoint = Endpoint(services, identify, Places(app.state.answer_threads, app.state.streams))
    app.router.routes.append(Route(PATH, endpoint, methods=["POST"], include_in_schema=False))
    public = services.settings.public_url
    if services.settings.oidc_issuer is not None and public is not None:
        app.state.mcp_metadata = f"{public.rstrip('/')}{METADATA_PATH}"
        app.router.routes.append(Route(METADATA_PATH, endpoint, methods=["GET"], include_in_schema=False))


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """Return the host names under which the endpoint answers."""
    public = urlsplit(settings.public_url or "").hostname
    further = (each.strip().lower() for each in settings.mcp_hosts.split(","))
    return _LOOPBACK | {each for each in (public, *further) if each}


def auth_settings(settings: Settings) -> AuthSettings:
    """Return what the SDK is told of authorization; without a provider it announces none."""
    public, issuer = settings.public_url, settings.oidc_issuer
    announced = public is not None and issuer is not None
    return AuthSettings(
        issuer_url=AnyHttpUrl(issuer if announced and issuer else "http://localhost"),
        resource_server_url=AnyHttpUrl(f"{public.rstrip('/')}{PATH}") if announced and public else None,
        validate_token_resource=False,  # `api.oidc` checks the audience itself
    )


def _access(token: str, caller: Principal) -> AccessToken:
    return AccessToken(
        token=token,
        client_id=caller.key_id or caller.owner,
        scopes=sorted(caller.scopes),
        expires_at=None if caller.expires_at is None else int(caller.expires_at),
        subject=caller.owner,
        claims={"tenant": caller.tenant_id},
    )
