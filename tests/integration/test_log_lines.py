"""Log lines in JSON say whose request, job or run it was, and never what was in it."""

import io
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from api.cli.console_logging import configure_logging
from ingest.storage.answers.run_records import RunRequest
from ingest.storage.answers.runs import Runs
from ingest.storage.queue.records import Job, JobKind
from tests.support.service import running
from tests.support.worker_fixture import WorkerFixture, no
from workers.job_runner import JobRunner
from workers.tasks.run import RunTask

Lines = Callable[[], list[dict[str, Any]]]
TEXT = "confidentialwords"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """The lines so far, as a service in a cluster writes them."""
    said = io.StringIO()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", said)
        configure_logging(logging.INFO, as_json=True)
    return lambda: [json.loads(line) for line in said.getvalue().splitlines()]


def test_a_requests_line_names_request_tenant_and_key_and_not_what_was_sent(tmp_path: Path, lines: Lines) -> None:
    with running(tmp_path) as (services, client):
        secret = str(client.http.headers["Authorization"]).partition(" ")[2]
        (key,) = services.keys.list_keys("default")
        client.http.get("/v1/status", headers={"X-Request-Id": "mine"})
        client.http.post("/v1/search", json={"query": TEXT})
        client.http.post("/v1/search", content=b'{"query": "' + TEXT.encode() + b'\\ud800"}')
        client.http.post("/v1/answers", json={"question": TEXT})
        client.http.post("/v1/documents", content=TEXT.encode())
        client.http.post("/v1/documents", content=b"%PDF-1.7 " + TEXT.encode(), params={"collection": "c"})
        services.asking = replace(services.asking, searcher=cast(Any, None))  # a defect
        assert client.http.post("/v1/search", json={"query": TEXT}).status_code == 500
    said = lines()
    requests = [line for line in said if line["event"] == "request"]
    assert len(requests) >= 6
    assert {(line["tenant"], line["key"]) for line in requests} == {("default", key.id)}
    assert requests[0]["request_id"] == "mine"
    (defect,) = [line for line in said if line["event"] == "request failed"]
    assert (defect["tenant"], defect["key"]) == ("default", key.id)
    everything = json.dumps(said)
    assert TEXT not in everything
    assert secret.split("_", 2)[2] not in everything


class FailingAnswers:
    def run(self, job: Job, stopping: object) -> None:
        raise RuntimeError("a defect")


def test_lines_of_jobs_and_runs_name_them(tmp_path: Path, lines: Lines) -> None:
    worker = WorkerFixture(tmp_path)
    document = worker.upload("damaged")
    run, _ = Runs(worker.engine).create(RunRequest("ann", "what?", (), (), "auto", None, False, None))
    runner = JobRunner(worker.jobs, worker.ingest, should_stop=no, run_task=cast(RunTask, FailingAnswers()))
    assert runner.run_once(JobKind.INGEST) == runner.run_once(JobKind.RUN) == 1
    worker.engine.dispose()
    ingest, answer = (line for line in lines() if line["event"] == "job failed")
    assert (ingest["tenant"], ingest["version"]) == ("ann", document.version.id)
    assert (answer["tenant"], answer["run"]) == ("ann", run.id)
    assert ingest["job"] != answer["job"]


def test_lines_of_libraries_are_json_too(lines: Lines) -> None:
    logging.getLogger("celery.worker").warning("Invalid HTTP request received.")
    (line,) = lines()
    assert (line["event"], line["level"]) == ("Invalid HTTP request received.", "warning")
