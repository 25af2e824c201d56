"""The kill matrix: at every fault point something dies, and nothing that was accepted may be lost or come back.

    python -m tests.faults.kill_matrix --seeds 25        every point, that many seeds each
    python -m tests.faults.kill_matrix --point embed.written --seeds 1 --first-seed 7     one run again

A run uploads documents, replaces some uploads by their retries, cancels one and deletes one, stops at the point, kills
what the seed chose, starts it again, waits until no work is left, and compares catalog, index and kept texts with what
an undisturbed run would have left. Where the point is one of moving the index to another encoder, a process moves it
meanwhile, and is started again until it has.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.books import book
from tests.support.cluster import Cluster, running_cluster, wait_until
from tests.support.cluster_truth import Truth
from tests.support.fault_points import FAULT_POINTS
from tests.support.postgres import running_postgres

# The processes that are killed at the point: mostly the one that reaches it, because its work is half done.
VICTIMS = (
    *("itself", "itself", "its worker", "api", "beat", "valkey", "valkey, emptied", "qdrant", "all at once"),
    "nobody, but late",
)
RECOVERY_SECONDS = 120.0
_REACH_SECONDS = 120.0


@dataclass(frozen=True)
class Run:
    """What happened at one point with one seed; `violations` must be empty."""

    point: str
    seed: int
    victim: str
    recovery_seconds: float
    violations: tuple[str, ...]


class Scenario:
    """What a client does with one seed, in a thread, so that it can be stopped in the middle."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        self._seed = seed
        source = random.Random(seed)
        self.texts = {
            f"{seed}-{n}.md": f"# Seed {seed}, number {n}\n\n" + book(seed * 100 + n, chapters=source.randint(1, 4))
            for n in range(4)
        }
        self.stopped = f"# Seed {seed}, stopped\n\n" + book(seed * 100 + 99, chapters=30)
        self.accepted: dict[str, str] = {}
        self.deleted: set[str] = set()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(source,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def another(self) -> None:
        """Upload one more document, once all others are uploaded and done."""
        name = f"{self._seed}-another.md"
        if name not in self.texts and not self._thread.is_alive() and self._cluster.settled():
            self.texts[name] = f"# Seed {self._seed}, another\n\n" + book(self._seed * 100 + 98, chapters=1)
            self.accepted[name] = self._cluster.upload(self.texts[name], name)

    def finish(self) -> None:
        self._thread.join(RECOVERY_SECONDS)
        if self._thread.is_alive():
            raise AssertionError("the client did not get its answers")
        if self._error is not None:
            raise self._error

    def _run(self, source: random.Random) -> None:
        try:
            for name, text in self.texts.items():
                self.accepted[name] = self._cluster.upload(text, name)
            # Garbage collection removes a cancelled document; the API itself removes a deleted one.
            self._cluster.cancel(self._cluster.upload(self.stopped, "stopped.md"))
            again, gone = source.sample(sorted(self.texts), 2)
            assert self._cluster.upload(self.texts[again], again) == self.accepted[again]
            time.sleep(source.random() * 0.5)
            self._cluster.delete(self.accepted[gone])
            self.deleted.add(self.accepted[gone])
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            self._error = error


def run_once(cluster: Cluster, point: str, seed: int) -> Run:
    """One cell of the matrix on a running cluster, which is whole again afterwards."""
    source = random.Random(f"{point}/{seed}")
    victim = source.choice(VICTIMS)
    scenario = Scenario(cluster, _number(point, seed))
    skip = source.choice((0, 0, 1)) if point.startswith(_SEVERAL) else 0
    cluster.faults.arm(point, skip=skip)
    moving = point.startswith(_MOVING)
    if moving:
        cluster.upload("# One document\n\nSo that there is something to move.\n", "one.md")
        wait_until(cluster.settled, seconds=RECOVERY_SECONDS, what="there is something to move")
        cluster.mover.restart()
    scenario.start()

    def reached() -> bool:
        # Documents that are claimed together pass a point together: then no other comes by it of its own.
        if skip and cluster.faults.reached(point) is None:
            scenario.another()
        return cluster.faults.reached(point) is not None

    wait_until(reached, seconds=_REACH_SECONDS, what=f"{point} is reached")
    start = time.monotonic()
    _kill(cluster, victim, cluster.faults.reached(point) or 0)
    cluster.faults.release()
    scenario.finish()
    violations: list[str] = []
    if moving:
        violations += _let_move(cluster)
    truth = Truth(cluster)
    with suppress(AssertionError):
        wait_until(
            lambda: cluster.settled() and not truth.violations(scenario.texts, scenario.accepted, scenario.deleted),
            seconds=RECOVERY_SECONDS,
            what="all work is done",
        )
    violations += list(truth.violations(scenario.texts, scenario.accepted, scenario.deleted))
    if not cluster.settled():
        violations.append(f"not settled within {RECOVERY_SECONDS:.0f} s: {cluster.jobs.count_unfinished_jobs()}")
    return Run(point, seed, victim, time.monotonic() - start, tuple(violations))


def _let_move(cluster: Cluster) -> list[str]:
    """Let the mover end, started again when it was killed; what is wrong if it does not, or leaves two generations."""

    def moved() -> bool:
        if cluster.mover.exit_code() not in (None, 0):
            cluster.mover.start()
        return cluster.mover.exit_code() == 0

    try:
        wait_until(moved, seconds=RECOVERY_SECONDS, what="the index has moved")
    except AssertionError as error:
        return [str(error)]
    generations = cluster.records.list_live_generations()
    return [] if len(generations) == 1 else [f"generations left: {[g.state.value for g in generations]}"]


# Points that only a process which moves the index to another encoder passes.
_MOVING = ("reembed.", "switch.", "discard.")
# A scenario passes these once for each of its documents; others perhaps only once.
_SEVERAL = ("upload.", "ingest.")


def _number(point: str, seed: int) -> int:
    """Texts differ between cells, so that no cell finds its documents there already."""
    return list(FAULT_POINTS).index(point) * 1_000 + seed


def _kill(cluster: Cluster, victim: str, pid: int) -> None:
    """Kill and start again, as a supervisor would. "itself" and "its worker" are whichever process is at the point."""
    standing = [part for part in (cluster.api, cluster.mover) if part.pid_or_none() == pid]
    if victim in ("itself", "its worker") and standing:
        standing[0].restart()
        return
    match victim:
        case "itself":
            cluster.kill(pid)
        case "its worker":
            cluster.workers[0].restart()
        case "api":
            cluster.api.restart()
        case "beat":
            cluster.beat.restart()
        case "valkey":
            cluster.valkey.restart()
        case "valkey, emptied":
            cluster.valkey.flush()
            cluster.valkey.restart()
        case "qdrant":
            cluster.qdrant.kill()
            cluster.qdrant.start()
        case "nobody, but late":
            time.sleep(2 * cluster.jobs.lease_seconds)
        case _:
            _kill_all(cluster)


def _kill_all(cluster: Cluster) -> None:
    parts = [cluster.api, cluster.beat, *cluster.workers]
    parts += [cluster.mover] if cluster.mover.runs() else []
    for part in parts:
        part.kill()
    cluster.valkey.restart()
    cluster.qdrant.kill()
    cluster.qdrant.start()
    for part in parts:
        part.start()


@contextmanager
def matrix_cluster(folder: Path) -> Iterator[Cluster]:
    with running_postgres() as postgres, running_cluster(folder, postgres.catalog_database()) as cluster:
        yield cluster


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--point", action="append", choices=list(FAULT_POINTS), help="only these")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each run")
    chosen = parser.parse_args(arguments)
    runs: list[Run] = []
    for point in chosen.point or FAULT_POINTS:
        mine: list[Run] = []
        # A cluster of its own for each point: what earlier runs have left in it is all moved to another encoder too.
        with tempfile.TemporaryDirectory() as folder, matrix_cluster(Path(folder)) as cluster:
            for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
                mine.append(run_once(cluster, point, seed))
                if chosen.json or mine[-1].violations:
                    print(json.dumps(asdict(mine[-1])), flush=True)
        slowest = max(run.recovery_seconds for run in mine)
        bad = sum(bool(run.violations) for run in mine)
        print(f"{point:24} {len(mine):4} runs {bad:3} violated, slowest recovery {slowest:5.1f} s", flush=True)
        runs += mine
    victims = Counter(run.victim for run in runs)
    bad = sum(bool(run.violations) for run in runs)
    print(f"{len(runs)} runs, {bad} violated; killed: {dict(victims)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
