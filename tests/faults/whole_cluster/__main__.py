"""A whole cluster under load, each part of which is killed, restarted, stopped and cut off in turn.

PostgreSQL, Valkey, three vector servers, a model server, two API processes behind a balancer, four workers and beat run
on this machine. Documents are uploaded, searches and questions sent all the time. Searches are for documents of another
tenant, which do not change, so that each must find the same as before. It ends with 1 if a document was lost or
doubled, a search found something else, or the cluster did not recover.

python -m tests.faults.whole_cluster --quick                      # one fault of each part, two minutes
python -m tests.faults.whole_cluster --files bucket
"""

import logging
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from api.cli.console_logging import configure_logging
from ingest.storage.accounts.keys import ApiKeys
from tests.benchmark.figures import AsJson
from tests.faults.whole_cluster.load import Found, Load, read_hits
from tests.faults.whole_cluster.parts import Failing, Installation, open_installation
from tests.faults.whole_cluster.report import Window, build_row, list_wrong_results, print_windows
from tests.faults.whole_cluster.texts import build_queries, build_text, build_word
from tests.support.cluster import Cluster, wait_until
from tests.support.cluster_truth import Truth

_KINDS = ("kill", "restart", "stop", "cut")
_REFERENCE = "reference"
_FIRST_REFERENCE = 90_000  # numbers that no uploaded document has
_CLIENTS = 4
# Ingestion and recovery need the rest of what the machine can do.
_SHARE_OF_CAPACITY = 1 / 3
_MOST_SEARCHES_PER_SECOND = 20.0
_QUESTIONS_FOR_EACH_SEARCH = 0.1
_RECOVERY_SECONDS = 120.0
_SETTLE_SECONDS = 1_800.0
_MOST_SHOWN = 20


@dataclass(frozen=True)
class Reference:
    """The tenant whose documents do not change: its key, the hits of each query, and the searches answered a second."""

    key: str
    hits: Mapping[str, Found]
    searches_per_second: float

    @property
    def bearable_rate(self) -> float:
        return min(_MOST_SEARCHES_PER_SECOND, _SHARE_OF_CAPACITY * self.searches_per_second)


@dataclass
class Trial:
    """One run over an open installation; `violations` must be empty at its end."""

    installation: Installation
    load: Load
    say: Callable[[str], None]
    windows: list[Window] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    reason: str = ""  # why the cluster was not whole when it was last looked at

    def run(self, faults: Sequence[tuple[Failing, str]], documents: int, seconds_each: float) -> None:
        """Go through a window without a fault and one for each fault, then wait for all documents, and compare."""
        shares = share_out(documents, len(faults) + 1)
        self.load.upload(next(shares))
        self.run_window("none", "none", lambda: None, seconds=seconds_each)
        for (failing, how), share in zip(faults, shares, strict=True):
            self.load.upload(share)
            self.run_window(failing.name, how, partial(failing.fail, how, seconds_each), seconds=seconds_each)
        self.say("Waiting until all documents are ready, and comparing …")
        self.check(range(documents))

    def run_window(self, part: str, kind: str, fail: Callable[[], None], *, seconds: float) -> None:
        """Let something fail, wait until the cluster is whole, and go on for half as long without a fault."""
        ready, begun = self._count_ready(), time.time()
        self.reason = ""
        try:
            fail()
            wait_until(self._is_whole, seconds=_RECOVERY_SECONDS, what="the cluster is whole again")
        except Exception as error:  # noqa: BLE001 - the other faults are tried, too
            self.violations.append(f"{part} {kind}: {error!r}; {self.reason}")
            self.say(self.violations[-1])
        whole = time.time()
        time.sleep(max(seconds - (whole - begun), seconds / 2))
        window = Window(part, kind, begun, whole, time.time(), self._count_ready() - ready)
        self.windows.append(window)
        row = build_row(window, list(self.load.sent))
        self.say(", ".join(f"{name} {value}" for name, value in row.items()))

    def check(self, numbers: Sequence[int]) -> None:
        """Wait until all documents have ended, and compare the cluster with what was accepted."""
        wait_until(lambda: len(self.load.accepted) == len(numbers), seconds=_SETTLE_SECONDS, what="all are accepted")
        wait_until(self._has_settled, seconds=_SETTLE_SECONDS, what="all documents are ready")
        accepted = self.load.accepted
        truth = Truth(self.installation.cluster, other_tenants=[_REFERENCE])
        self.violations += truth.violations(
            {f"{number}.md": build_text(number) for number in accepted},
            {f"{number}.md": document for number, document in accepted.items()},
            (),
        )
        with ThreadPoolExecutor(_CLIENTS) as pool:
            self.violations += [each for each in pool.map(self._find, *zip(*accepted.items(), strict=True)) if each]
        self.violations += list_wrong_results(self.load.sent)

    def _find(self, number: int, document: str) -> str:
        """Search for the word that only this document has; returns what is wrong."""
        response = self.installation.cluster.request("POST", "/v1/search", json={"query": build_word(number)})
        hits = response.json()["hits"] if response.status_code == 200 else []
        first = hits[0]["document"] if hits else f"nothing ({response.status_code})"
        return "" if first == document else f"not found: {document} with {build_word(number)!r}, but {first}"

    def _is_whole(self) -> bool:
        """True if each API process answers a search, and all processes are in."""
        query, expected = next(iter(self.load.expected.items()))
        headers = {"Authorization": f"Bearer {self.load.reference_key}"}
        for port in self.installation.ports:
            try:
                url = f"http://127.0.0.1:{port}/v1/search"
                response = httpx.post(url, json={"query": query}, headers=headers, timeout=10)
            except httpx.TransportError as error:
                self.reason = f"{url} does not answer: {error!r}"
                return False
            if response.status_code != 200 or read_hits(response.json()) != expected:
                self.reason = f"{url} answers {response.status_code}: {response.text[:300]}"
                return False
        self.reason = self.installation.describe_absence()
        return not self.reason

    def _count_ready(self) -> int:
        return self._count_documents().get("ready", 0)

    def _has_settled(self) -> bool:
        return set(self._count_documents()) <= {"ready", "failed"} and self.installation.cluster.settled()

    def _count_documents(self) -> dict[str, int]:
        """Documents by their state."""
        response = self.installation.cluster.request("GET", "/v1/status").raise_for_status()
        return {state: count for state, count in response.json()["documents"].items() if count}


def prepare_reference(cluster: Cluster, *, documents: int, queries: int) -> Reference:
    """Upload the documents that do not change, and search them until all queries find the same twice."""
    cluster.catalog.ensure_tenant(_REFERENCE)
    _, key = ApiKeys(cluster.engine).issue_key(_REFERENCE, "tests")
    headers = {"Authorization": f"Bearer {key}"}

    def upload(number: int) -> None:
        params, content = {"name": f"{number}.md"}, build_text(number).encode()
        cluster.request("POST", "/v1/documents", headers=headers, params=params, content=content).raise_for_status()

    def search(query: str) -> Found:
        response = cluster.request("POST", "/v1/search", json={"query": query}, headers=headers)
        return read_hits(response.raise_for_status().json())

    with ThreadPoolExecutor(_CLIENTS) as pool:
        # Another tenant's first document, because scores differ a little while one tenant is alone.
        cluster.upload(build_text(_FIRST_REFERENCE - 1), "first.md")
        list(pool.map(upload, range(_FIRST_REFERENCE, _FIRST_REFERENCE + documents)))
        wait_until(cluster.settled, seconds=600, what="the reference documents are ready")
        chosen, rounds = build_queries(queries), list[tuple[list[Found], float]]()

        def is_same_twice() -> bool:
            begun = time.monotonic()
            found = list(pool.map(search, chosen))
            rounds.append((found, time.monotonic() - begun))
            return len(rounds) > 1 and rounds[-2][0] == found

        wait_until(is_same_twice, what="searches find the same again")
    found, seconds = rounds[-1]
    return Reference(key, dict(zip(chosen, found, strict=True)), queries / seconds)


def plan_faults(parts: Sequence[Failing], kinds: Sequence[str], *, quick: bool) -> list[tuple[Failing, str]]:
    """Every kind for every part; if `quick`, one kind for each part, in turn."""
    if quick:
        chosen = []
        for number, part in enumerate(parts):
            fitting = [kind for kind in part.kinds if kind in kinds]
            chosen += [(part, fitting[number % len(fitting)])] if fitting else []
        return chosen
    return [(part, kind) for part in parts for kind in part.kinds if kind in kinds]


def share_out(documents: int, windows: int) -> Iterator[range]:
    """Divide documents evenly among windows, as ranges of their numbers."""
    edges = [documents * number // windows for number in range(windows + 1)]
    return (range(first, last) for first, last in pairwise(edges))


def whole_cluster(
    documents: Annotated[int, typer.Option(help="How many documents are uploaded.", min=1)] = 5_000,
    seconds_each: Annotated[float, typer.Option(help="How long each fault lasts.", min=0.1)] = 10.0,
    searches_per_second: Annotated[
        float | None, typer.Option(help="By default, a third of what the machine can answer, 20 at most.", min=0)
    ] = None,
    questions_per_second: Annotated[
        float | None, typer.Option(help="By default, a tenth of the searches.", min=0)
    ] = None,
    files: Annotated[str, typer.Option(help="Where texts are kept: `folder` or `bucket`.")] = "folder",
    part: Annotated[list[str] | None, typer.Option(help="Only parts whose names begin so.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only faults of this kind.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="30 documents, 2 s each, one fault for each part.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the trial, and print a row for each fault."""
    if files not in ("folder", "bucket") or set(kind or ()) - set(_KINDS):
        raise typer.BadParameter(f"--files is `folder` or `bucket`, and --kind one of {', '.join(_KINDS)}")
    if quick:
        documents, seconds_each = min(documents, 30), min(seconds_each, 2.0)
    configure_logging(logging.ERROR)
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is ended and removed
    with (
        tempfile.TemporaryDirectory(prefix="leadline-cluster-", ignore_cleanup_errors=True) as home,
        open_installation(Path(home), in_bucket=files == "bucket") as installation,
    ):
        console.print("Ingesting the reference documents …")
        reference = prepare_reference(installation.cluster, documents=12 if quick else 40, queries=12 if quick else 40)
        searches = reference.bearable_rate if searches_per_second is None else searches_per_second
        questions = _QUESTIONS_FOR_EACH_SEARCH * searches if questions_per_second is None else questions_per_second
        console.print(
            f"{reference.searches_per_second:.1f} searches a second were answered; "
            f"sending {searches:.1f} searches and {questions:.1f} questions a second."
        )
        load = Load(
            installation.balancer.url,
            installation.cluster.key,
            reference.key,
            reference.hits,
            searches,
            questions,
        )
        trial = Trial(installation, load, partial(console.print, markup=False, highlight=False, soft_wrap=True))
        parts = [each for each in installation.parts if not part or each.name.startswith(tuple(part))]
        try:
            with load.running():
                trial.run(plan_faults(parts, kind or _KINDS, quick=quick), documents, seconds_each)
        except Exception as error:  # noqa: BLE001 - what was measured until then is printed
            trial.violations.append(f"the trial ended early: {error!r}")
    print_windows([build_row(window, load.sent) for window in trial.windows], as_json)
    for violation in trial.violations[:_MOST_SHOWN]:
        console.print(violation, markup=False, soft_wrap=True)
    console.print(f"{len(load.accepted)} documents accepted, {len(trial.violations)} violations.")
    raise typer.Exit(int(bool(trial.violations)))


if __name__ == "__main__":
    typer.run(whole_cluster)
