"""The same person by the identity provider and by Slack finds what is open to the verified mail address."""

from dataclasses import replace

import httpx
import pytest

from api.accounts.oidc import OidcTokenChecker
from api.admission.cookies import SessionCookie
from api.portal.sessions import start_session
from api.settings.oidc import OidcSettings
from tests.integration.slack.conftest import Workspace
from tests.support.cluster import wait_until
from tests.support.harbour import KEEPER
from tests.support.issuer import AUDIENCE, Issuer, running_issuer

pytestmark = pytest.mark.slow

MAIL, WORD = "dora@harbour.example", "ZEBRAWOOD"
WAGES = b"# Wages\n\nWho kept the lighthouse was paid ZEBRAWOOD crowns a year.\n"


def find_in_session(workspace: Workspace, issuer: Issuer, *, verified: bool) -> bool:
    """Sign in with the provider, and return whether a search in the session finds the document."""
    services = workspace.harbour.services
    settings = OidcSettings(oidc_issuer=issuer.url, oidc_audience=AUDIENCE, oidc_client_id="portal")
    token = issuer.token(aud="portal", nonce="n", sub="id-dora", name="Dora", email=MAIL, email_verified=verified)
    verified_token = OidcTokenChecker(settings, services.accounts).check_identity_token(token, "n")
    assert verified_token is not None
    secret = start_session(services, replace(verified_token.principal, expires_at=None))
    cookie = {SessionCookie.from_settings(services.settings).name: secret}
    with httpx.Client(base_url=workspace.harbour.url, cookies=cookie) as http:
        csrf = http.get("/v1/session").json()["csrf"]
        found = http.post("/v1/search", json={"query": KEEPER}, headers={"X-CSRF-Token": csrf})
    assert found.status_code == 200, found.text
    return WORD in found.text


def find_in_slack(workspace: Workspace, channel: str) -> bool:
    """Ask in a direct message, and return whether the model read the document."""
    workspace.slack.channel(channel, "U0DORA", kind="im")
    workspace.harbour.model.requests.clear()
    workspace.says("U0DORA", KEEPER, channel=channel)
    workspace.answered(channel=channel)
    return WORD in str(workspace.harbour.model.requests)


def test_both_find_a_document_that_is_open_to_the_address_once_the_provider_has_verified_it(
    workspace: Workspace,
) -> None:
    client = workspace.harbour.client
    workspace.slack.person("U0DORA", MAIL)
    params = {"name": "dora.md", "readers": f"user:{MAIL}"}
    document = client.http.post("/v1/documents", params=params, content=WAGES).json()["id"]
    wait_until(lambda: client.get(f"/v1/documents/{document}")["state"] == "ready", what="it is ready")
    with running_issuer() as issuer:
        assert not find_in_session(workspace, issuer, verified=False)
        assert not find_in_slack(workspace, "D0DORA1")
        assert find_in_session(workspace, issuer, verified=True)
        assert find_in_slack(workspace, "D0DORA2")
        by_id = {"readers": [MAIL]}
        client.http.patch(f"/v1/documents/{document}", json=by_id, headers={"If-Match": "*"}).raise_for_status()
        assert client.get(f"/v1/documents/{document}")["readers"] == ["user:id-dora"]
        assert find_in_session(workspace, issuer, verified=True)
        assert find_in_slack(workspace, "D0DORA3")
    client.http.delete(f"/v1/documents/{document}").raise_for_status()
