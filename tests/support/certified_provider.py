"""A certified OpenID Connect provider in a process of its own: the npm package `oidc-provider`."""

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from tests.support.issuer import AUDIENCE, CLIENT_SECRET
from tests.support.ports import free_port
from tests.support.requirements import IDENTITY_PROVIDER, require_identity_provider

CLIENT_ID = "portal"


class CertifiedProvider:
    """The running provider. Its accounts are changed while it runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        # What a service needs to know about the provider.
        self.settings: dict[str, Any] = {
            "oidc_issuer": self.url,
            "oidc_audience": AUDIENCE,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": CLIENT_SECRET,
        }

    def change_account(self, login: str, **claims: object) -> None:
        """Add or change an account. With `disabled`, the person gets no more tokens."""
        self._tell("account", login=login, **claims)

    def set_away(self, away: bool) -> None:
        """Answer every request with status 503, or stop doing so."""
        self._tell("away", away=away)

    def set_service(self, url: str) -> None:
        """Send logout tokens to the service at this address."""
        self._tell("service", url=url)

    def end_sessions(self, login: str) -> None:
        """End a person's sessions, as an administrator of the provider does, and tell the service."""
        self._tell("logout", login=login)

    def count_refreshes(self) -> int:
        """Count the tokens that were given for refresh tokens."""
        return int(self._tell("refreshes")["refreshes"])

    def sign_in(self, authorization_url: str, login: str) -> str:
        """Sign a person in on the page to which a client leads, and return the address that leads back."""
        with httpx.Client(base_url=self.url) as http:
            page = http.get(authorization_url)
            page = http.post(page.headers["location"], data={"login": login})
            return str(http.get(page.headers["location"]).headers["location"])

    def fetch_tokens(self, login: str) -> dict[str, str]:
        """Sign a person in for another program that is the same client, and return the tokens."""
        verifier, back = "v" * 43, "http://127.0.0.1:9/sign-in/provider"
        digest = hashlib.sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": back,
            "scope": "openid profile email",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        come = self.sign_in(f"{self.url}/auth?{urlencode(query)}", login)
        form = {
            "grant_type": "authorization_code",
            "code": dict(parse_qsl(urlsplit(come).query))["code"],
            "redirect_uri": back,
            "code_verifier": verifier,
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        }
        return dict(httpx.post(f"{self.url}/token", data=form).raise_for_status().json())

    def _tell(self, command: str, **body: object) -> Any:  # noqa: ANN401 - JSON
        return httpx.post(f"{self.url}/test/{command}", content=json.dumps(body)).raise_for_status().json()


@contextmanager
def running_provider() -> Iterator[CertifiedProvider]:
    """Yield a provider that listens on a free port and has the account `ann` of the group `lawyers`."""
    require_identity_provider()
    port = free_port()
    command = ["node", str(IDENTITY_PROVIDER / "provider.js"), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "listening"
            provider = CertifiedProvider(port)
            provider.change_account(
                "ann", name="Ann Archer", email="ann@example.org", email_verified=True, groups=["lawyers"]
            )
            yield provider
        finally:
            process.kill()
