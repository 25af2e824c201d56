"""The MCP SDK's server as an ASGI application. This module is imported on the first request."""

from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.lowlevel.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl
from starlette.types import ASGIApp

from api.admission.admission import Identify
from api.admission.services import Services
from api.mcp.places import PATH, Capacity
from api.mcp.server import build_server
from api.settings.settings import Settings
from ingest.storage.accounts.records import Principal


class KeyVerifier(TokenVerifier):
    """Verifies bearer tokens of MCP requests, which are API keys or tokens of the identity provider."""

    def __init__(self, identify: Identify) -> None:
        self._identify = identify

    async def verify_token(self, token: str) -> AccessToken | None:
        caller = await self._identify(token)
        return None if caller is None else _build_access_token(token, caller)


def build_application(
    services: Services, identify: Identify, capacity: Capacity
) -> tuple[Server[dict[str, object]], ASGIApp]:
    """Build the server and its application. The caller must run the server's session manager.

    Requests are stateless in both versions of the protocol, so that any replica can handle any request.
    """
    settings = services.settings
    server = build_server(services, capacity)
    return server, server.streamable_http_app(
        streamable_http_path=PATH,
        stateless_http=True,
        max_request_body_size=settings.max_body_bytes,
        # Disable the library's check of host names. The endpoint checks them itself, because its error message contains
        # the setting to change.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        auth=build_auth_settings(settings),
        token_verifier=KeyVerifier(identify),
    )


def build_auth_settings(settings: Settings) -> AuthSettings:
    """Return the SDK's authorization settings. Without an identity provider, they announce none to clients."""
    public, issuer = settings.public_url, settings.oidc_issuer
    announced = public is not None and issuer is not None
    return AuthSettings(
        issuer_url=AnyHttpUrl(issuer if announced and issuer else "http://localhost"),
        resource_server_url=AnyHttpUrl(f"{public.rstrip('/')}{PATH}") if announced and public else None,
        validate_token_resource=False,  # The audience is checked by `api.accounts.oidc` instead.
    )


def _build_access_token(token: str, caller: Principal) -> AccessToken:
    return AccessToken(
        token=token,
        client_id=caller.key_id or caller.owner,
        scopes=sorted(caller.scopes),
        expires_at=None if caller.expires_at is None else int(caller.expires_at),
        subject=caller.owner,
        claims={"tenant": caller.tenant_id},
    )
