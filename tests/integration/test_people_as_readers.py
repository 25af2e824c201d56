"""Readers of documents are named by the name or mail address of a person, over a real service."""

import base64
from typing import Any

from api.admission.services import DEFAULT_TENANT, Services
from api.client import Client
from ingest.storage.accounts.records import Principal, Profile


def test_readers_by_name_or_address_are_stored_as_ids_on_every_way_to_set_them(
    service: tuple[Services, Client],
) -> None:
    services, client = service
    eve = Principal(DEFAULT_TENANT, None, "", user="id-1", profile=Profile("Eve Adams", "eve@example.org", True))
    services.accounts.people.record_sign_in(eve, groups_seconds=60)
    http = client.http

    def readers_of(document: str) -> list[str]:
        found: list[str] = client.get(f"/v1/documents/{document}")["readers"]
        return found

    params: dict[str, Any] = {"name": "body.md", "readers": ["eve@example.org", "group:hr"]}
    made = http.post("/v1/documents", params=params, content=b"# A body").json()["id"]
    assert readers_of(made) == ["group:hr", "user:id-1"]
    form = http.post("/v1/documents", files={"file": ("form.md", b"# A form")}, data={"readers": '["Eve Adams"]'})
    made = form.json()["id"]
    assert readers_of(made) == ["user:id-1"]
    changed = {"readers": ["user:old", "EVE@example.org"]}
    http.patch(f"/v1/documents/{made}", json=changed, headers={"If-Match": "*"})
    assert readers_of(made) == ["user:id-1", "user:old"]
    bulk = {"action": "readers", "documents": [made], "readers": ["eve adams"]}
    assert http.post("/v1/documents/bulk", json=bulk).json()["done"] == 1
    assert readers_of(made) == ["user:id-1"]
    granted = http.put("/v1/collections/c/grants/eve@example.org", json={"role": "reader"})
    assert granted.json()["subject"] == "user:id-1"
    described = ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}"
        for name, value in (("filename", "tus.md"), ("readers", '["Eve Adams"]'))
    )
    tus = {"Tus-Resumable": "1.0.0", "Upload-Length": "5", "Upload-Metadata": described}
    at = http.post("/v1/uploads", headers=tus).headers["location"]
    sent = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    done = http.patch(at, content=b"# Tus", headers=sent)
    assert readers_of(done.headers["content-location"].rsplit("/", 1)[1]) == ["user:id-1"]
