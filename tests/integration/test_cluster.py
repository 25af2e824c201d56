"""A cluster as its operator meets it: readiness while a server is away, and the orderly end of a worker."""

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ingest.storage.documents.records import VersionState
from ingest.storage.generations.index_states import IndexStates
from tests.support.books import book
from tests.support.cluster import Cluster, running_cluster, wait_until
from tests.support.postgres import Postgres, running_postgres

pytestmark = pytest.mark.slow

# Much longer than the limit of a second, for a busy machine.
_SOON_SECONDS = 20.0


def ready(cluster: Cluster) -> tuple[int, str]:
    answer = cluster.ready("search")
    return answer.status_code, answer.json()["parts"]["search"]["state"]


def test_a_vector_server_that_is_away_is_said_and_uploads_go_on(tmp_path: Path, postgres: Postgres) -> None:
    with running_cluster(tmp_path, postgres.catalog_database()) as cluster:
        wait_until(lambda: ready(cluster) == (200, "ready"), what="the index is there")
        cluster.qdrant.kill()
        wait_until(lambda: ready(cluster) == (503, "unavailable"), what="the index is away")
        assert cluster.ready("uploads").status_code == 200
        document = cluster.upload(book(1, chapters=1), "a.md")
        cluster.qdrant.start()
        wait_until(lambda: ready(cluster) == (200, "ready"), what="the index is back")
        wait_until(
            lambda: cluster.catalog.load_document("default", document).version.state is VersionState.READY,
            what="the document is ready",
        )


def test_requests_fail_soon_while_the_catalog_hangs_and_health_responds(tmp_path: Path) -> None:
    def search() -> httpx.Response:
        key = {"Authorization": f"Bearer {cluster.key}"}
        return httpx.post(f"{cluster.url}/v1/search", json={"query": "whale"}, headers=key, timeout=60)

    with (
        running_postgres() as postgres,
        running_cluster(
            tmp_path,
            postgres.catalog_database(),
            start_workers=False,
            start_beat=False,
            settings={"LEADLINE_DATABASE_READ_SECONDS": "1"},
        ) as cluster,
    ):
        assert search().status_code == 200
        with postgres.paused(), ThreadPoolExecutor(16) as threads:
            # As many as exhaust the pool if they keep their connections.
            waiting = [threads.submit(search) for _ in range(64)]
            assert httpx.get(f"{cluster.url}/health/live", timeout=5).status_code == 200
            assert httpx.get(f"{cluster.url}/health/ready", timeout=5).status_code == 503
            for each in waiting:
                failed = each.result()
                assert (failed.status_code, failed.json()["code"]) == (503, "catalog_unavailable")
                assert "Retry-After" in failed.headers
                assert failed.elapsed.total_seconds() < _SOON_SECONDS
        wait_until(lambda: search().status_code == 200, what="searches work again")


def test_a_vector_server_that_lost_its_data_is_an_outage_until_the_index_is_made_again(
    tmp_path: Path, postgres: Postgres
) -> None:
    def search() -> tuple[int, str | int]:
        found = httpx.post(f"{cluster.url}/v1/search", json={"query": "whale"}, headers=key, timeout=60)
        body = found.json()
        return found.status_code, len(body["hits"]) if found.status_code == 200 else body["code"]

    with running_cluster(tmp_path, postgres.catalog_database(), task_seconds=60) as cluster:
        key = {"Authorization": f"Bearer {cluster.key}"}
        document = cluster.upload(book(1, chapters=1), "a.md")
        states = IndexStates(cluster.engine)
        wait_until(
            lambda: states.load_state(1).is_marked and states.load_state(1).versions == 1,
            what="upkeep has compared the index",
        )
        before = search()
        assert before[0] == 200
        cluster.qdrant.kill()
        shutil.rmtree(tmp_path / "qdrant")
        cluster.qdrant.start()
        wait_until(lambda: search() == (503, "index_lost"), what="the loss is said")
        cluster.workers[0].restart()  # it makes an empty collection, as any process does that starts
        wait_until(lambda: "1 of 1 documents" in states.load_state(1).lost, what="the loss is recorded")
        wait_until(lambda: ready(cluster) == (503, "lost"), what="readiness says so")
        assert search() == (503, "index_lost")
        assert cluster.ready("uploads").status_code == 200
        late = cluster.upload(book(2, chapters=1), "b.md")
        cluster.rebuilder.start()
        wait_until(lambda: search() == before, what="searches are served again by the process that was there before")
        assert ready(cluster) == (200, "ready")
        for each in (document, late):
            wait_until(
                lambda each=each: cluster.catalog.load_document("default", each).version.state is VersionState.READY,  # type: ignore[misc]
                what="every document is ready",
            )
        wait_until(
            lambda: states.load_state(2).is_marked and not states.load_state(2).missing,
            what="the new index is compared",
        )


def test_a_worker_that_is_told_to_stop_hands_back_what_it_holds(tmp_path: Path, postgres: Postgres) -> None:
    with running_cluster(tmp_path, postgres.catalog_database()) as cluster:
        worker = cluster.workers[0]
        cluster.faults.arm("embed.written")
        document = cluster.upload(book(1, chapters=60), "long.md")
        wait_until(lambda: cluster.faults.reached("embed.written") is not None, what="a batch is written")
        os.kill(worker.pid, signal.SIGTERM)
        log = tmp_path / "worker-0.log"
        wait_until(lambda: "Warm shutdown" in log.read_text(), what="the worker is told while the batch is held")
        while worker.runs():
            time.sleep(0.01)
            if cluster.faults.reached("embed.written") is not None:
                cluster.faults.release()
                cluster.faults.arm("embed.written")
        cluster.faults.release()
        assert worker.exit_code() == 0
        version = cluster.catalog.load_document("default", document).version
        assert 0 < version.chunks_embedded < (version.chunks or 0)
        assert cluster.attempts(version.id) <= 1
        assert cluster.jobs.requeue_lost_jobs(include_all_running=True) == 0
        worker.start()
        wait_until(
            lambda: cluster.catalog.load_document("default", document).version.state is VersionState.READY,
            what="the document is ready",
        )
