"""Settings of an OpenID Connect provider whose tokens are accepted in addition to API keys."""

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.storage.accounts.records import TENANT_SCOPES, Scope

# Signature algorithms that are accepted. They are all asymmetric: those in RFC 7518, section 3.1, and EdDSA from RFC
# 8037.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


ScopeMapping = dict[str, tuple[Scope, ...]]


def _build_default_scopes() -> ScopeMapping:
    return {"*": (Scope.READ, Scope.ASK)}


class OidcSettings(BaseSettings):
    """Settings of an OpenID Connect provider. Without an issuer, no tokens are accepted."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    oidc_issuer: str | None = Field(
        None,
        description="The address of the OpenID Connect provider, exactly as in the `iss` claim of its tokens. "
        "Requires the `oidc` extra.",
    )
    oidc_audience: str | None = Field(
        None, description="The value that the `aud` claim of its tokens must contain. Required with an issuer."
    )
    oidc_client_id: str | None = Field(
        None,
        description="The portal's client id at the provider, which lets people sign in through the provider. The "
        "redirect URI is `LEADLINE_PUBLIC_URL/sign-in/provider`.",
    )
    oidc_client_secret: SecretStr | None = Field(None, description="The client's secret, unless it is a public client.")
    oidc_request_scope: str | None = Field(
        None,
        description="The scopes that the portal requests from the provider; must include `openid`. By default, `openid "
        "profile email`, and `groups` if the provider's discovery document offers it.",
    )
    oidc_jwks_url: str | None = Field(
        None,
        description="The address of the provider's keys. By default, it is read from the issuer's discovery document.",
    )
    oidc_algorithms: str = Field(
        "RS256 ES256", description="Accepted signature algorithms: RS, PS and ES (256, 384, 512), and EdDSA."
    )
    oidc_leeway_seconds: float = Field(
        30.0, ge=0, le=300, description="Tolerated difference between the provider's clock and ours, in seconds."
    )
    oidc_keys_seconds: float = Field(
        900.0,
        gt=0,
        description="How long the provider's keys are cached, in seconds. A withdrawn key stays valid for up to this "
        "time.",
    )
    oidc_refetch_seconds: float = Field(
        30.0, ge=0, description="An unknown key id triggers a new fetch of the keys, at most once in this many seconds."
    )
    oidc_session_refresh_seconds: float = Field(
        300.0,
        gt=0,
        description="How often the provider must confirm a portal session that it started, in seconds, if it issues "
        "refresh tokens. People who lost access there lose it here by then.",
    )
    oidc_session_away_seconds: float = Field(
        3_600.0,
        ge=0,
        description="How long sessions that the provider started continue while it does not respond, in seconds.",
    )
    oidc_tenant: str = Field("default", description="The tenant of the provider's users, by id or name.")
    oidc_tenant_claim: str | None = Field(
        None, description="The claim with a user's tenant, by id or name; overrides LEADLINE_OIDC_TENANT."
    )
    oidc_user_claim: str = Field(
        "sub",
        description="The claim with the user's id, which must never change (`oid` for Entra ID). ACLs refer to it as "
        "`user:ID`.",
    )
    oidc_groups_claim: str = Field(
        "groups", description="The claim with the user's groups, which ACLs refer to as `group:NAME`."
    )
    oidc_scopes_claim: str = Field("groups", description="The claim whose values LEADLINE_OIDC_SCOPES maps to scopes.")
    oidc_scopes: ScopeMapping = Field(
        default_factory=_build_default_scopes,
        description="JSON that maps each value of the claim to scopes, and `*` to scopes for everyone, such as "
        '`{"*": ["read", "ask"], "kb-admins": ["write", "admin"]}`. `operator` cannot be granted.',
    )

    @field_validator("oidc_algorithms")
    @classmethod
    def _require_asymmetric_algorithms(cls, value: str) -> str:
        wrong = set(value.split()) - set(_ALGORITHMS)
        if wrong or not value.split():
            raise ValueError(f"LEADLINE_OIDC_ALGORITHMS may only contain {', '.join(_ALGORITHMS)}")
        return value

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _require_provider_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://")):
            raise ValueError("must be a URL that begins with https:// or http://")
        return value

    @field_validator("oidc_scopes")
    @classmethod
    def _require_tenant_scopes(cls, value: ScopeMapping) -> ScopeMapping:
        if any(scope not in TENANT_SCOPES for scopes in value.values() for scope in scopes):
            raise ValueError("tokens cannot have the scope `operator`: use a key")
        return value

    @model_validator(mode="after")
    def _require_audience(self) -> "OidcSettings":
        if self.oidc_issuer is not None and not self.oidc_audience:
            raise ValueError(
                "LEADLINE_OIDC_ISSUER requires LEADLINE_OIDC_AUDIENCE, so that tokens for other services are rejected"
            )
        if self.oidc_client_id is not None and self.oidc_issuer is None:
            raise ValueError("LEADLINE_OIDC_CLIENT_ID requires LEADLINE_OIDC_ISSUER")
        return self

    @property
    def algorithms(self) -> tuple[str, ...]:
        return tuple(self.oidc_algorithms.split())
