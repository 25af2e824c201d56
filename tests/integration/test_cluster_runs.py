"""Runs in a cluster: answered by Celery workers, gone on with after a kill, and stopped wherever they run."""

from pathlib import Path

import pytest

from ingest.storage.answers.run_records import RunState
from tests.support.cluster import Cluster, running_cluster, wait_until
from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

_QUESTION = {"question": "Who keeps the lighthouse of the harbour?", "background": True}


def asked(cluster: Cluster) -> str:
    response = cluster.request("POST", "/v1/answers", json=_QUESTION)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def state(cluster: Cluster, run: str) -> RunState:
    return RunState(cluster.request("GET", f"/v1/runs/{run}").json()["state"])


def test_a_worker_that_is_killed_leaves_its_run_to_the_next_and_a_cancelled_one_stops(
    tmp_path: Path, postgres: Postgres
) -> None:
    with running_cluster(tmp_path, postgres.catalog_database()) as cluster:
        cluster.faults.arm("run.begun")
        run = asked(cluster)
        wait_until(lambda: cluster.faults.reached("run.begun") is not None, what="a worker began")
        cluster.kill(cluster.faults.reached("run.begun") or 0)
        cluster.faults.release()
        wait_until(lambda: state(cluster, run) is RunState.COMPLETED, what="the run is answered")
        found = cluster.request("GET", f"/v1/runs/{run}").json()
        assert (found["attempt"], found["answer"]["strategy"]) == (2, "extractive")
        events = cluster.request("GET", f"/v1/runs/{run}/events", headers={"Accept": "application/json"}).json()
        assert [event["kind"] for event in events["events"]][:2] == ["start", "resume"]

        cluster.faults.arm("run.answered")
        run = asked(cluster)
        wait_until(lambda: cluster.faults.reached("run.answered") is not None, what="it has an answer")
        assert cluster.request("POST", f"/v1/runs/{run}/cancel").json()["state"] == "cancelled"
        cluster.faults.release()
        after = asked(cluster)
        wait_until(lambda: state(cluster, after) is RunState.COMPLETED, what="the worker went on")
        assert state(cluster, run) is RunState.CANCELLED
        assert cluster.request("GET", f"/v1/runs/{run}").json()["answer"] is None
