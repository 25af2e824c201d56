"""Settings of an OpenID Connect provider whose tokens are accepted beside API keys."""

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.storage.accounts.records import TENANT_SCOPES, Scope

# Signatures by private keys only: RFC 7518, section 3.1, and EdDSA of RFC 8037.
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


ScopeMapping = dict[str, tuple[Scope, ...]]


def _build_default_scopes() -> ScopeMapping:
    return {"*": (Scope.READ, Scope.ASK)}


class OidcSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`. Without an issuer, no token is accepted."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    oidc_issuer: str | None = Field(
        None,
        description="The address of an OpenID Connect provider, as `iss` of its tokens has it. Needs the extra `oidc`.",
    )
    oidc_audience: str | None = Field(None, description="What `aud` of its tokens must name; needed with an issuer.")
    oidc_client_id: str | None = Field(
        None,
        description="The client that the portal is to the provider: with it, people sign in there. Its redirect URI is "
        "`LEADLINE_PUBLIC_URL/sign-in/provider`.",
    )
    oidc_client_secret: SecretStr | None = Field(None, description="The client's secret, if it is not a public one.")
    oidc_request_scope: str = Field(
        "openid profile groups", description="The scopes that the portal asks the provider for; `openid` is needed."
    )
    oidc_jwks_url: str | None = Field(
        None, description="The address of its keys; if not set, the issuer's description is asked for it."
    )
    oidc_algorithms: str = Field(
        "RS256 ES256", description="Signatures that are accepted, of RS, PS, ES (256, 384, 512) and EdDSA."
    )
    oidc_leeway_seconds: float = Field(30.0, ge=0, le=300, description="How far its clock may be from ours.")
    oidc_keys_seconds: float = Field(
        900.0, gt=0, description="How long its keys are kept: a key that it withdraws is good for so long."
    )
    oidc_refetch_seconds: float = Field(
        30.0, ge=0, description="An unknown key id has its keys fetched again, and no more often than this."
    )
    oidc_tenant: str = Field("default", description="The tenant of its users, by id or name.")
    oidc_tenant_claim: str | None = Field(
        None, description="The claim that names a user's tenant, by id or name, instead of LEADLINE_OIDC_TENANT."
    )
    oidc_user_claim: str = Field("sub", description="The claim that names the user; ACLs call it `user:NAME`.")
    oidc_groups_claim: str = Field("groups", description="The claim that lists the user's groups; `group:NAME`.")
    oidc_scopes_claim: str = Field("groups", description="The claim whose values LEADLINE_OIDC_SCOPES maps to scopes.")
    oidc_scopes: ScopeMapping = Field(
        default_factory=_build_default_scopes,
        description='JSON: what each value gives, and `*` everybody, such as `{"*": ["read", "ask"], "kb-admins": '
        '["write", "admin"]}`. `operator` cannot be given.',
    )

    @field_validator("oidc_algorithms")
    @classmethod
    def _require_asymmetric(cls, value: str) -> str:
        wrong = set(value.split()) - set(_ALGORITHMS)
        if wrong or not value.split():
            raise ValueError(f"LEADLINE_OIDC_ALGORITHMS may name {', '.join(_ALGORITHMS)}")
        return value

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _require_provider_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("https://", "http://")):
            raise ValueError("it must be an address that begins with https://")
        return value

    @field_validator("oidc_scopes")
    @classmethod
    def _require_tenant_scopes(cls, value: ScopeMapping) -> ScopeMapping:
        if any(scope not in TENANT_SCOPES for scopes in value.values() for scope in scopes):
            raise ValueError("a token cannot make an operator: use a key")
        return value

    @model_validator(mode="after")
    def _require_audience(self) -> "OidcSettings":
        if self.oidc_issuer is not None and not self.oidc_audience:
            raise ValueError("LEADLINE_OIDC_ISSUER needs LEADLINE_OIDC_AUDIENCE: a token for another service is no key")
        if self.oidc_client_id is not None and self.oidc_issuer is None:
            raise ValueError("LEADLINE_OIDC_CLIENT_ID needs LEADLINE_OIDC_ISSUER")
        return self

    @property
    def algorithms(self) -> tuple[str, ...]:
        return tuple(self.oidc_algorithms.split())
