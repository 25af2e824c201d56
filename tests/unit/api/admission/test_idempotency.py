"""Tests of when the result of a streamed request is stored under its Idempotency-Key."""

import asyncio
from pathlib import Path

import pytest
from fastapi import Request
from starlette.types import Message, Receive, Scope, Send

from api.admission.idempotency import Idempotency, get_claimed_request
from api.http.middleware import CALLER
from api.http.threads import Threads
from ingest.storage.accounts.records import Principal
from ingest.storage.db.database import build_sqlite_url, open_database, read_transaction
from ingest.storage.db.schema import idempotency_keys
from ingest.storage.documents.catalog import Catalog
from ingest.storage.idempotency import IdempotencyKeys
from tests.support.postgres import disposed

PARTS = (b"a first event", b"the last event", b"")


@pytest.mark.parametrize(("is_made", "done"), [(True, [False, True, True]), (False, [False, False, False])])
def test_a_stream_can_be_repeated_as_soon_as_its_last_event_is_read(
    tmp_path: Path, is_made: bool, done: list[bool]
) -> None:
    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        claim = get_claimed_request(Request(scope))
        assert claim is not None
        claim.shows_again = True
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in PARTS:
            claim.is_made = is_made and part != PARTS[0]
            await send({"type": "http.response.body", "body": part, "more_body": part != b""})

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    with disposed(open_database(build_sqlite_url(tmp_path / "catalog.sqlite"))) as engine:
        Catalog(engine).ensure_tenant("ann")
        found: list[bool] = []

        async def record(message: Message) -> None:
            if message["type"] == "http.response.body":
                with read_transaction(engine) as connection:
                    found.append(connection.execute(idempotency_keys.select()).one().done_at is not None)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/answers",
            "query_string": b"",
            "headers": [(b"idempotency-key", b"k")],
            CALLER: Principal("ann", "k", "a test"),
        }
        asyncio.run(Idempotency(stream, keys=IdempotencyKeys(engine), threads=Threads(1))(scope, receive, record))
        assert found == done
