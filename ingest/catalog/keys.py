"""API keys: 256 random bits, stored as a hash, compared in constant time."""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import Engine, insert, select, update

from ingest.catalog.database import read, write
from ingest.catalog.tables import api_keys

_PREFIX = "ll"


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret."""

    id: str
    tenant_id: str
    name: str
    created_at: float
    revoked_at: float | None


class ApiKeys:
    """Issue, check, list and revoke. A secret is shown once, by `issue`, and cannot be read back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def issue(self, tenant_id: str, name: str) -> tuple[ApiKey, str]:
        """Return a new key and the text a client sends: `ll_<id>_<43 characters>`. The tenant must exist."""
        key = ApiKey(secrets.token_hex(8), tenant_id, name, time.time(), None)
        secret = secrets.token_urlsafe(32)
        with write(self._engine) as connection:
            connection.execute(
                insert(api_keys).values(
                    id=key.id,
                    tenant_id=tenant_id,
                    name=name,
                    secret_sha256=_sha256(secret),
                    created_at=key.created_at,
                )
            )
        return key, f"{_PREFIX}_{key.id}_{secret}"

    def check(self, presented: str) -> ApiKey | None:
        """Return the key, or None for anything but a live key's full text."""
        prefix, _, rest = presented.partition("_")
        identifier, _, secret = rest.partition("_")
        if prefix != _PREFIX or not secret:
            return None
        with read(self._engine) as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.id == identifier)).first()
        # An unknown id costs the same comparison as a wrong secret.
        expected = _sha256("") if row is None else row.secret_sha256
        if not hmac.compare_digest(expected, _sha256(secret)) or row is None or row.revoked_at is not None:
            return None
        return ApiKey(row.id, row.tenant_id, row.name, row.created_at, row.revoked_at)

    def keys(self, tenant_id: str) -> list[ApiKey]:
        """Oldest first, revoked ones too."""
        query = select(api_keys).where(api_keys.c.tenant_id == tenant_id).order_by(api_keys.c.created_at)
        with read(self._engine) as connection:
            return [
                ApiKey(row.id, row.tenant_id, row.name, row.created_at, row.revoked_at)
                for row in connection.execute(query).all()
            ]

    def revoke(self, tenant_id: str, identifier: str) -> bool:
        """False when the tenant has no such live key."""
        with write(self._engine) as connection:
            return (
                connection.execute(
                    update(api_keys)
                    .where(
                        api_keys.c.tenant_id == tenant_id,
                        api_keys.c.id == identifier,
                        api_keys.c.revoked_at.is_(None),
                    )
                    .values(revoked_at=time.time())
                ).rowcount
                == 1
            )


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
