"""Tenants, users, keys, sessions and grants of one catalog, together."""

from dataclasses import dataclass

from sqlalchemy import Engine

from ingest.storage.accounts.grants import Grants
from ingest.storage.accounts.keys import ApiKeys
from ingest.storage.accounts.sessions import Sessions
from ingest.storage.accounts.tenants import Tenants
from ingest.storage.accounts.users import Users


@dataclass(frozen=True)
class Identities:
    """Who may use the service, and for what."""

    tenants: Tenants
    users: Users
    keys: ApiKeys
    grants: Grants
    sessions: Sessions

    @classmethod
    def of(cls, engine: Engine) -> "Identities":
        return cls(Tenants(engine), Users(engine), ApiKeys(engine), Grants(engine), Sessions(engine))
