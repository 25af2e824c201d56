"""Documents outlive what a vector server of several nodes answers while one is away: no attempt is spent on it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.documents.records import VersionState
from ingest.storage.queue.records import JobKind
from retrieval import build
from retrieval.index.server.settings import QdrantServerSettings
from tests.support.catalogs import wake
from tests.support.faulty_proxy import Fault, FaultyProxy, faulty_proxy
from tests.support.generations_fixture import WHALE, GenerationsFixture
from tests.support.installations import OURS
from tests.support.qdrant_server import SOON
from tests.support.replica_answers import CHUNK_DENIED, NO_ACTIVE_REPLICA, READ_FAILED, WRITE_FAILED
from tests.support.vector_servers import VectorServer
from tests.support.worker_fixture import no
from workers.job_runner import JobRunner

pytestmark = pytest.mark.slow
_WRITING, _VECTORS, _COUNTING = (
    f"{request} /collections/leadline/points{path}"
    for request, path in (("PUT", ""), ("PUT", "/vectors"), ("POST", "/count"))
)


@pytest.fixture
def proxy(double: VectorServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(double.url) as between:
        yield between


@pytest.mark.parametrize(
    ("request_", "status", "answer"),
    [
        (_WRITING, 500, WRITE_FAILED),
        (_VECTORS, 500, NO_ACTIVE_REPLICA),
        (_COUNTING, 500, READ_FAILED),
        (_VECTORS, 404, CHUNK_DENIED),
    ],
)
def test_a_document_waits_without_an_attempt_and_becomes_ready_by_itself(
    tmp_path: Path, proxy: FaultyProxy, request_: str, status: int, answer: str
) -> None:
    patience = QdrantServerSettings(search_retries=SOON, work_retries=SOON)
    store = build.build_server_store(proxy.url, OURS, settings=patience)
    at = GenerationsFixture(tmp_path, store)
    runner = JobRunner(at.jobs, at.ingest, at.embed, should_stop=no)
    document = at.upload(WHALE)
    fault = Fault(status=status, body=json.dumps({"status": {"error": answer}, "time": 0.0}).encode())
    # More often than one job asks, and than a job may be attempted.
    proxy.faults[request_] = [fault] * (5 * SOON.attempts)
    rounds = 0
    while at.state(document) is not VersionState.READY:
        rounds += 1
        assert rounds < 30
        wake(at.engine)
        for kind in (JobKind.INGEST, JobKind.EMBED):
            runner.run_once(kind)
        with at.engine.connect() as connection:
            assert (connection.execute(select(func.max(job_rows.c.attempt))).scalar() or 0) <= 1
        assert at.state(document) is not VersionState.FAILED
    assert rounds > 3
    assert not proxy.faults[request_]
    assert at.verify().is_consistent
    at.close()
    store.remove_index(1)
