"""Runs whose process is killed, and runs that are cancelled: what is repeated, and what goes on.

    python -m tests.faults.run_kills kill --points 20      SIGKILL at that many random points of one run
    python -m tests.faults.run_kills cancel --runs 100     cancelled at random moments

The language model is a script that counts what it is asked. Kept replies are forgotten at every kill, so that nothing
but the run's own log saves it from asking again.
"""

import argparse
import json
import logging
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, delete, select

from api.admission.services import DEFAULT_TENANT
from api.cli.console_logging import configure_logging
from ingest.storage.answers.run_records import ENDED_STATES, Run, RunRequest, RunState
from ingest.storage.answers.runs import Runs
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.db.schema import replies, run_events
from rlm.llm.port import SubCall, SubReply
from rlm.runs.bodies import compute_call_hash
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.fakes.scripted_root import in_code
from tests.support.cluster import wait_until
from tests.support.labelled_records import LABELS, document, label_of, labelled_records
from tests.support.postgres import disposed
from tests.support.run_process import scripted_model
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai
from tests.support.service import running

RECORDS = 160
_CELLS = (
    'one = llm_query_batched([f"Say {n}" for n in range(60)])\nprint("said", "one", len(one))',
    f'labels = classify([each for each in records("log.txt") if "User:" in read(each)], {LABELS!r})\n'
    'print("said", "two", len(labels))',
    'three = llm_query_batched([f"Say {word} again" for word in one])\nprint("said", "three", len(three))',
    "plants = labels.count('plant')\nsubmit(f'{plants} plants, {len(one) + len(three)} words', computed='code')",
)
_PRINTED = ("one", "two", "three")
_QUESTION = "How many records have the label 'plant'?"
_SECONDS = 300.0
# Nothing of a run goes on when nothing was seen of it for so long: it may be between two requests.
_STILL_SECONDS = 0.5


def killed(points: int, *, folder: Path, seed: int = 1) -> dict[str, Any]:
    """One run, killed at `points` random moments and resumed each time, beside one that nobody disturbs."""
    with scripted_openai() as model, _library(folder, model) as engine:
        runs, source = Runs(engine), random.Random(seed)
        undisturbed, calls = _undisturbed(runs, engine, model, folder)
        _forget(engine)
        model.requests.clear()
        run = _asked(runs)
        moments = sorted(source.sample(range(1, calls), points))
        finished: set[str] = set()
        repeated = kills = 0
        for moment in [*moments, None]:
            asked_before = len(model.requests)
            with _service(folder, model) as process:
                if moment is not None:
                    wait_until(lambda m=moment: len(_logged(engine, run)) >= m, seconds=_SECONDS, what="a reply")  # type: ignore[misc]
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    kills += 1
                else:
                    wait_until(lambda: _state(runs, run) in ENDED_STATES, seconds=_SECONDS, what="the run has ended")
            repeated += sum(_hash(request) in finished for request in model.requests[asked_before:])
            finished = _logged(engine, run)
            _forget(engine)
        ended = runs.load_run(DEFAULT_TENANT, run.id)
        return {
            "kills": kills,
            "calls_of_an_undisturbed_run": calls,
            "requests": len(model.requests),
            "finished_sub_calls_repeated": repeated,
            "same_answer": _essence(ended) == _essence(undisturbed),
            "usage_counted_once": ended.spent.calls == undisturbed.spent.calls,
            "state": ended.state.value,
        }


def _still_since(runs: Runs, run: Run, model: ScriptedOpenAI) -> float:
    """The instant after which nothing of a run was seen to go on: no request open or sent, and nothing logged."""
    begun = since = time.monotonic()
    seen: tuple[int, int] | None = None
    while time.monotonic() - since < _STILL_SECONDS:
        now = runs.load_run(DEFAULT_TENANT, run.id).events, len(model.requests)
        if model.open or now != seen:
            seen, since = now, time.monotonic()
        if since - begun > _SECONDS:
            raise AssertionError("it goes on")
        time.sleep(0.01)
    return since


def cancelled(number: int, *, folder: Path, seed: int = 1) -> dict[str, Any]:
    """So many runs, each cancelled at a random moment of its way; how long until nothing of it goes on."""
    seconds: list[float] = []
    with scripted_openai() as model, _library(folder, model) as engine:
        runs, source = Runs(engine), random.Random(seed)
        model.delay_seconds = 0.5
        with _service(folder, model):
            for _ in range(number):
                _forget(engine)
                before = len(model.requests)
                run = _asked(runs)
                asked = source.randint(0, 12)
                wait_until(lambda: len(model.requests) - before >= asked, seconds=_SECONDS, what="requests")  # noqa: B023
                model.fault = "wait"  # what is open now ends only when its client goes away
                begun = time.monotonic()
                assert runs.cancel(DEFAULT_TENANT, run.id).state is RunState.CANCELLED
                seconds.append(_still_since(runs, run, model) - begun)
                model.fault = ""
    return {
        "cancelled": len(seconds),
        "within_two_seconds": sum(each <= 2.0 for each in seconds),
        "slowest_seconds": round(max(seconds), 2),
        "median_seconds": round(sorted(seconds)[len(seconds) // 2], 2),
    }


@contextmanager
def _library(folder: Path, model: ScriptedOpenAI) -> Iterator[Engine]:
    """A data folder with records in it, and its catalog."""
    model.reply = _replied
    with running(folder, language_model=scripted_model(model.url)) as (_, client):
        text = document(labelled_records(RECORDS))
        sent = client.http.post("/v1/documents", params={"name": "log.txt"}, content=text.encode()).json()["id"]
        wait_until(
            lambda: client.get(f"/v1/documents/{sent}")["state"] == "ready", seconds=_SECONDS, what="it is ready"
        )
    with disposed(open_database(build_sqlite_url(folder / "catalog.sqlite"))) as engine:
        yield engine


@contextmanager
def _service(folder: Path, model: ScriptedOpenAI) -> Iterator["subprocess.Popen[bytes]"]:
    log = (folder / "service.log").open("ab")
    command = [sys.executable, "-m", "tests.support.run_process", str(folder), model.url]
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield process
        finally:
            process.kill()


def _undisturbed(runs: Runs, engine: Engine, model: ScriptedOpenAI, folder: Path) -> tuple[Run, int]:
    run = _asked(runs)
    with _service(folder, model):
        wait_until(lambda: _state(runs, run) in ENDED_STATES, seconds=_SECONDS, what="the run has ended")
    return runs.load_run(DEFAULT_TENANT, run.id), len(_logged(engine, run))


def _asked(runs: Runs) -> Run:
    return runs.create(RunRequest(DEFAULT_TENANT, _QUESTION, strategy="recursive", every_record=True))[0]


def _state(runs: Runs, run: Run) -> RunState:
    return runs.load_run(DEFAULT_TENANT, run.id).state


def _logged(engine: Engine, run: Run) -> set[str]:
    """Digests of the sub-calls that were finished."""
    query = select(run_events.c.key).where(run_events.c.run_id == run.id, run_events.c.kind == "call")
    with engine.connect() as connection:
        return {key.split(":")[1] for key in connection.execute(query).scalars()}


def _forget(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(delete(replies))


def _replied(request: dict[str, Any]) -> str:
    """What a model that makes no mistake replies; as a root model, with the next cell."""
    prompt = _call(request).prompt
    if prompt.startswith("Say "):
        return prompt.removeprefix("Say ")
    if "BEGIN records" not in prompt:
        return in_code(_CELLS[sum(f"said {part}" in prompt for part in _PRINTED)])
    (result,) = RuleSubCalls(label_of).run([_call(request)])
    assert isinstance(result, SubReply)
    return result.text


def _hash(request: dict[str, Any]) -> str:
    """As the log has it, of what the server was sent."""
    return compute_call_hash(_call(request))


def _call(request: dict[str, Any]) -> SubCall:
    said = {message["role"]: message["content"] for message in request["messages"]}
    limit = int(request.get("max_completion_tokens") or request["max_tokens"])
    schema = request.get("response_format", {}).get("json_schema", {}).get("schema")
    return SubCall(said.get("system", ""), said["user"], limit, schema)


def _essence(run: Run) -> object:
    """An answer without how long it took."""
    return {name: value for name, value in (run.answer or {}).items() if name != "timings_ms"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["kill", "cancel"])
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    configure_logging(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="leadline-runs-") as folder:
        if arguments.what == "kill":
            found = killed(arguments.points, folder=Path(folder), seed=arguments.seed)
            good = found["same_answer"] and not found["finished_sub_calls_repeated"]
        else:
            found = cancelled(arguments.runs, folder=Path(folder), seed=arguments.seed)
            good = found["within_two_seconds"] == arguments.runs
    print(json.dumps(found, indent=1))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
