"""The REST application over real services, asked by people of one tenant: `http.get(path, headers=of("eve"))`."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi.testclient import TestClient

from api.admission.services import DEFAULT_TENANT, Services
from api.main import create_app
from ingest.storage.accounts.records import Principal, Scope

_ALL = (Scope.READ, Scope.WRITE, Scope.ASK)


class People:
    """Users with their groups, `cy` without one; `robot` is a key of no user, `admin` an admin's of no user."""

    def __init__(self, services: Services) -> None:
        identities, keys = services.accounts, services.keys
        for user, groups in (("eve", ["hr"]), ("bob", ["it"]), ("cy", [])):
            identities.users.create(DEFAULT_TENANT, user, groups)
        issued = {user: keys.issue_key(DEFAULT_TENANT, user, scopes=_ALL, user=user) for user in ("eve", "bob", "cy")}
        issued["robot"] = keys.issue_key(DEFAULT_TENANT, "robot", scopes=_ALL)
        issued["admin"] = keys.issue_key(DEFAULT_TENANT, "admin")
        self.key_ids = {person: key.id for person, (key, _) in issued.items()}
        self._secrets = {person: secret for person, (_, secret) in issued.items()}
        self._services = services

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._secrets))

    def of(self, person: str, **more: str) -> dict[str, str]:
        """The headers of a person's request."""
        return {"Authorization": f"Bearer {self._secrets[person]}", **more}

    def principal(self, person: str) -> Principal:
        found = self._services.keys.authenticate(self._secrets[person])
        assert found is not None
        return found


@contextmanager
def asked_by_people(services: Services) -> Iterator[tuple[TestClient, People]]:
    with TestClient(create_app(services)) as http:
        yield http, People(services)
