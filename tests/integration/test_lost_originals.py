"""Originals that are gone from the store of files, as after a restore without them."""

from pathlib import Path

from tests.support.cluster import wait_until
from tests.support.service import running


def test_an_original_that_is_lost_is_named_with_what_to_do(tmp_path: Path) -> None:
    with running(tmp_path) as (_, client):
        document = client.http.post("/v1/documents", params={"name": "a.txt"}, content=b"The log of a ship.").json()
        wait_until(lambda: client.get("/v1/status")["documents"] == {"ready": 1}, what="the document is ready")
        for path in (tmp_path / "blobs" / "original").rglob("*"):
            if path.is_file():
                path.unlink()
        lost = client.http.get(f"/v1/documents/{document['id']}/original")
        assert lost.status_code == 500
        assert lost.json()["code"] == "original_lost"
        assert "Restore the blobs from a backup" in lost.json()["hint"]
