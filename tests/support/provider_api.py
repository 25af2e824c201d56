"""The application with an identity provider, and browsers that sign in with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fastapi.testclient import TestClient

from api.accounts.oidc import OidcTokenChecker
from api.main import create_app
from tests.support.asking import AskedApi, asked_api
from tests.support.issuer import AUDIENCE, CLIENT_SECRET, Issuer


@contextmanager
def provider_api(home: Path, issuer: Issuer, **changes: object) -> Iterator[AskedApi]:
    """Yield an application whose users of the tenant `ann` sign in at the issuer."""
    with asked_api(home) as made:
        given = {
            "oidc_issuer": issuer.url,
            "oidc_audience": AUDIENCE,
            "oidc_tenant": "ann",
            "oidc_client_id": "portal",
            "oidc_client_secret": CLIENT_SECRET,
            **changes,
        }
        settings = type(made.services.settings).model_validate(
            {"home": made.services.settings.home, "llm": "none", **given}
        )
        made.services.settings = settings
        made.services.admission = replace(
            made.services.admission, tokens=OidcTokenChecker(settings, made.services.accounts)
        )
        yield made


def browser(api: AskedApi) -> TestClient:
    """Return a browser that does not follow redirects, on a process of its own."""
    return TestClient(create_app(api.services), base_url="http://127.0.0.1", follow_redirects=False)


def led_to(http: TestClient, to: str = "/") -> str:
    """Begin a sign-in, and return the address of the provider to which the browser is led."""
    found = http.get("/sign-in/provider", params={"to": to})
    assert found.status_code == 303
    return str(found.headers["location"])


def sign_in(http: TestClient, issuer: Issuer, **claims: object) -> None:
    """Sign a person in with these claims."""
    assert http.get(issuer.consent(led_to(http), **claims)).status_code == 303
