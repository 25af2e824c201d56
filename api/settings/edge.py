"""Settings of the HTTP edge: limits on requests and connections, trusted proxies, and pages of other origins."""

import re

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.settings.addresses import Network, parse_networks

_ORIGIN = re.compile(r"\*|https?://[^\s/?#@]+")


def split_origins(origins: str) -> tuple[str, ...]:
    """Split a list of origins at its commas."""
    return tuple(origin.strip() for origin in origins.split(",") if origin.strip())


class EdgeSettings(BaseSettings):
    """Limits on requests to this process, before and after authentication."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    max_body_bytes: int = Field(
        1024**2,
        ge=1024,
        description="Maximum size of a request body that is not an upload. Larger bodies are rejected unread.",
    )
    body_idle_seconds: float = Field(
        30.0, gt=0, description="A request is rejected if almost none of its body arrives for this many seconds."
    )
    body_bytes_per_second: int = Field(
        1024,
        ge=1,
        description="Minimum rate of a body over that time, in bytes per second; slower requests are rejected.",
    )
    connections_at_once: int = Field(
        800, ge=1, description="Maximum open connections of this process; further connections get 503."
    )
    connections_of_address: int = Field(
        400,
        ge=1,
        description="Maximum open connections from one address. Trusted proxies are not limited.",
    )
    trusted_proxies: str = Field(
        "127.0.0.1, ::1",
        description="Addresses and networks of trusted proxies, separated by commas. Limits per address apply to the "
        "client address in their `X-Forwarded-For` header.",
    )
    allowed_origins: str = Field(
        "",
        description="Origins of other pages whose scripts may call the API with a key, separated by commas, such as "
        "`https://app.example.org`; `*` allows all. No origin may use a session.",
    )
    anonymous_bytes: int = Field(
        16 * 1024**2,
        ge=64 * 1024,
        description="Bytes of memory for the bodies of all requests without a key; one address may use a quarter.",
    )
    anonymous_per_minute: int = Field(
        600, ge=1, description="Maximum requests without a key per minute and address in this process."
    )
    sign_ins_per_minute: int = Field(
        60, ge=1, description="Maximum sign-in attempts per minute and address in this process."
    )
    head_seconds: float = Field(
        20.0,
        gt=0,
        description="A connection is closed if a request's head takes longer than this many seconds to arrive.",
    )
    requests_at_once: int = Field(
        1_000, ge=1, description="Maximum open requests of this process; further requests get 503."
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        parse_networks(value)
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        for origin in split_origins(value):
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin such as https://app.example.org, without a path")
        return value

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins that may call the API."""
        return split_origins(self.allowed_origins)

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of trusted proxies."""
        return parse_networks(self.trusted_proxies)

    @property
    def open_requests(self) -> int:
        """The maximum number of open requests, which leaves a twentieth of the connections free for `/health`."""
        reserve = max(1, self.connections_at_once // 20)
        return max(1, min(self.requests_at_once, self.connections_at_once - reserve))
