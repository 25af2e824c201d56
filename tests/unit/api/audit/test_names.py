"""The names that a page of the audit log has for the ids of its entries."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from ingest.storage.accounts.records import Scope
from ingest.storage.audit.records import Action
from ingest.storage.db.database import write_transaction
from ingest.storage.db.schema import documents
from tests.support.asking import AskedApi, asked_api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        yield api


def test_entries_come_with_the_names_of_their_keys_users_and_documents(api: AskedApi) -> None:
    created = api.http.post("/v1/users", json={"name": "carol"}).json()
    key = api.http.post("/v1/keys", json={"name": "nightly upload", "scopes": ["read"]}).json()
    api.http.put(f"/v1/keys/{key['id']}/quotas", json={"limits": {"documents": 5}})
    page = api.get("/v1/audit")
    acting = page["entries"][0]["actor"]["key"]
    assert page["names"][f"key:{acting}"] == "a test"
    assert page["names"][f"user:{created['id']}"] == "carol"
    assert page["names"][f"key:{key['id']}"] == "nightly upload"
    (changed,) = api.get("/v1/audit", action="quota.changed")["entries"]
    assert changed["details"]["limits"] == {"documents": 5}


def test_no_name_of_a_document_is_told_to_an_admin_who_cannot_see_it(api: AskedApi) -> None:
    with write_transaction(api.engine) as connection:
        row = {"tenant_id": "ann", "collection": "default", "media_type": "text/plain", "attributes": {}}
        for number, readers in enumerate((None, ["user:carol"])):
            connection.execute(
                insert(documents).values(
                    id=f"d{number}", sequence=number + 1, name=f"plan {number}.txt", readers=readers,
                    content_sha256=str(number), latest_version_id="v", created_at=1.0, **row,
                )
            )  # fmt: skip
    for number in range(2):
        api.services.events.audit.record_action(Action.DOCUMENT_CHANGED, f"document:d{number}", tenant_id="ann")
    api.services.accounts.users.create("ann", "dave")
    _, key = api.services.keys.issue_key("ann", "dave's", scopes=[Scope.ADMIN], user="dave")
    headers = {"Authorization": f"Bearer {key}"}
    names = api.http.get("/v1/audit", headers=headers).json()["names"]
    assert names["document:d0"] == "plan 0.txt"
    assert "document:d1" not in names
    assert "document:d1" not in api.http.get("/v1/audit", headers=api.stranger).json()["names"]
