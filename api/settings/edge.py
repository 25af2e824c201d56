"""Settings of the edge: how much clients may send, how many may be connected, and which proxies are trusted."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.settings.addresses import Network, parse_networks


class EdgeSettings(BaseSettings):
    """Limits of what reaches this process, before and after the key is known."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    max_body_bytes: int = Field(
        1024**2, ge=1024, description="The largest body of a request that is no upload; a larger one is refused unread."
    )
    body_idle_seconds: float = Field(
        30.0, gt=0, description="A client that sends next to nothing of a body for this long is refused."
    )
    body_bytes_per_second: int = Field(
        1024, ge=1, description="What is too slow: fewer bytes of a body than this, each second of that time."
    )
    connections_at_once: int = Field(
        800, ge=1, description="Connections that are open at once in this process; more are answered with 503."
    )
    connections_of_address: int = Field(
        400,
        ge=1,
        description="How many of them one address may have; a trusted proxy may have any number.",
    )
    trusted_proxies: str = Field(
        "127.0.0.1, ::1",
        description="Addresses and networks, with commas between them, of proxies whose `X-Forwarded-For` names the "
        "client that limits of an address count.",
    )
    anonymous_bytes: int = Field(
        16 * 1024**2,
        ge=64 * 1024,
        description="Memory for bodies of requests without a key, all together; one address gets a quarter of it.",
    )
    anonymous_per_minute: int = Field(
        600, ge=1, description="Requests without a key that one address may send a minute to this process."
    )
    sign_ins_per_minute: int = Field(
        60, ge=1, description="Attempts to sign in that one address may make a minute in this process."
    )
    head_seconds: float = Field(
        20.0, gt=0, description="A connection is closed whose request's head has not come whole in this time."
    )
    requests_at_once: int = Field(
        1_000, ge=1, description="Requests that are open at once in this process; more are refused with 503."
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: str) -> str:
        parse_networks(value)
        return value

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of trusted proxies."""
        return parse_networks(self.trusted_proxies)

    @property
    def open_requests(self) -> int:
        """How many requests may be open: a twentieth of the connections stays free for `/health`."""
        reserve = max(1, self.connections_at_once // 20)
        return max(1, min(self.requests_at_once, self.connections_at_once - reserve))
