"""Files and vector stores that expire are deleted with their documents, and all others are kept."""

import time
from pathlib import Path
from typing import Any

import pytest

from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.operations.object_expiry import ObjectExpiry
from tests.support.cluster import wait_until
from tests.support.service import running

TEXT = b"# Log\n\nThe fog horn was sounded.\n"
HOUR, DAY = 3_600.0, 24 * 3_600.0


def test_what_has_expired_is_deleted_with_its_documents(tmp_path: Path) -> None:
    with running(tmp_path) as (services, client):
        http = client.http

        def send(name: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a form
            form = {"purpose": "assistants", **fields}
            made = http.post("/v1/files", files={"file": (name, TEXT + name.encode())}, data=form)
            assert made.status_code == 200, made.text
            body: dict[str, Any] = made.json()
            return body

        expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
        brief, lasting = send("brief.md", **expiry), send("lasting.md")
        assert (brief["expires_at"], lasting["expires_at"]) == (brief["created_at"] + 3_600, None)
        kept = http.post("/v1/vector_stores", json={"name": "kept", "file_ids": [brief["id"], lasting["id"]]}).json()
        after = {"anchor": "last_active_at", "days": 1}
        store = http.post(
            "/v1/vector_stores", json={"name": "brief", "expires_after": after, "file_ids": [lasting["id"]]}
        ).json()
        assert store["expires_after"] == after
        assert store["expires_at"] == store["last_active_at"] + DAY
        wait_until(lambda: client.get("/v1/status")["documents"] == {"ready": 3}, what="all are ready")

        engine, documents = open_database(build_sqlite_url(tmp_path / "catalog.sqlite")), services.documents

        def expire(seconds: float) -> int:
            """Do the upkeep as it is done so many seconds from now."""
            parts = documents.files, documents.file_removal, documents.collections, documents.catalog
            return ObjectExpiry(engine, *parts, clock=lambda: time.time() + seconds).delete_expired_objects()

        assert expire(HOUR / 2) == 0
        assert expire(HOUR + 1) == 1
        assert http.get(f"/v1/files/{brief['id']}").status_code == 404
        left = http.get(f"/v1/vector_stores/{kept['id']}/files").json()["data"]
        assert [each["id"] for each in left] == [lasting["id"]]
        assert expire(DAY + 120) == 1
        assert http.get(f"/v1/vector_stores/{store['id']}").status_code == 404
        assert http.get(f"/v1/vector_stores/{kept['id']}").status_code == 200
        assert http.get(f"/v1/files/{lasting['id']}/content").content == TEXT + b"lasting.md"
        engine.dispose()


def test_a_use_postpones_the_expiry_of_a_store(tmp_path: Path) -> None:
    with running(tmp_path) as (services, client):
        http = client.http
        after = {"anchor": "last_active_at", "days": 1}
        store = http.post("/v1/vector_stores", json={"expires_after": after}).json()["id"]
        engine, documents = open_database(build_sqlite_url(tmp_path / "catalog.sqlite")), services.documents
        parts = documents.files, documents.file_removal, documents.collections, documents.catalog
        used_at = time.time()
        http.post(f"/v1/vector_stores/{store}/search", json={"query": "horn"}).raise_for_status()
        assert http.get(f"/v1/vector_stores/{store}").json()["last_active_at"] >= int(used_at)
        changed = http.post(f"/v1/vector_stores/{store}", json={"expires_after": None}).json()
        assert (changed["expires_after"], changed["expires_at"]) == (None, None)
        assert ObjectExpiry(engine, *parts, clock=lambda: time.time() + 400 * DAY).delete_expired_objects() == 0
        engine.dispose()


@pytest.mark.parametrize(
    "fields",
    [
        {"expires_after[anchor]": "last_active_at", "expires_after[seconds]": "3600"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "60"},
        {"expires_after[anchor]": "created_at", "expires_after[seconds]": "-1"},
        {"expires_after[seconds]": "3600"},
    ],
    ids=str,
)
def test_an_expiry_outside_the_limits_is_refused(tmp_path: Path, fields: dict[str, str]) -> None:
    with running(tmp_path) as (_, client):
        form = {"purpose": "assistants", **fields}
        found = client.http.post("/v1/files", files={"file": ("a.md", TEXT)}, data=form)
        assert (found.status_code, found.json()["error"]["param"]) == (400, "expires_after")
        body = {"expires_after": {"anchor": "created_at", "days": 1}}
        assert client.http.post("/v1/vector_stores", json=body).status_code == 422
