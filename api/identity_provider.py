"""Opens the check of an identity provider's tokens, where one is configured and its library is there."""

from importlib.util import find_spec

from api.admission.services import Tokens
from api.settings.oidc import OidcSettings
from ingest.storage.build import Identities
from ingest.storage.errors import LeadlineError


class IdentityProviderSettingsError(LeadlineError):
    """A provider is configured whose tokens cannot be checked here; the service does not start."""

    code = "identity_provider_settings"
    default_hint = "Install the extra, `pip install 'leadline[oidc]'`, or leave LEADLINE_OIDC_ISSUER out."


def open_tokens(settings: OidcSettings, identities: Identities) -> Tokens | None:
    """Return what checks tokens, or None without a provider. Raises `IdentityProviderSettingsError`."""
    if settings.oidc_issuer is None:
        return None
    if find_spec("jwt") is None or find_spec("cryptography") is None:
        raise IdentityProviderSettingsError("LEADLINE_OIDC_ISSUER is set, and PyJWT with cryptography is missing.")
    from api.accounts.oidc import OidcTokens

    return OidcTokens(settings, identities)
