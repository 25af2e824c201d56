"""A simulation of catalog, queue and index in one thread: crashes, lost, repeated and reordered rings, slow workers.

    python -m tests.faults.simulation --runs 10000 --seed 1         prints the steps of a failing run
    python -m tests.faults.simulation --runs 2000 --without fence   shows that a planted bug is found

The catalog is the real one on SQLite and the tasks are the real ones. Each actor (an upload, a deletion, a worker's
look, a sweep) is a greenlet that stops at every fault point; Hypothesis decides who goes on, who dies where it stands,
and what becomes of the rings. A killed actor is left as it is, so that nothing cleans up after it.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from greenlet import GreenletExit, getcurrent, greenlet
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import Connection, select, update

from ingest.chunking import chunk_text
from ingest.intake import Intake, UploadRequest
from ingest.parsing.text import parse_markdown
from ingest.parsing.types import ParsedDocument
from ingest.storage.answers.redaction import Redaction
from ingest.storage.blobs.quarantine import UpkeepLimits
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.database import build_sqlite_url, open_database, read_transaction
from ingest.storage.db.schema import cards as card_rows
from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.documents.batches import Batches
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.digests import ContentDigests
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import SEARCHABLE_STATES, VersionState, derive_chunk_id
from ingest.storage.errors import DocumentNotFoundError
from ingest.storage.instrumentation import reach_fault_point, set_fault_point_hook
from ingest.storage.jobs import jobs as jobs_module
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.operations.leftovers import UnusedContent
from ingest.storage.queue.records import Job, JobKind
from ingest.storage.texts.layout import build_markdown_layout
from ingest.storage.texts.texts import Texts
from retrieval.encoders.port import HashingEmbedder
from retrieval.index.bm25 import SparseEncoder
from retrieval.index.languages import Language
from retrieval.index.port import SparseVector
from tests.support.fixed_generation import FixedGeneration
from tests.support.installations import tied
from tests.support.memory_index import MemoryIndex
from workers.deps import WorkerDeps
from workers.job_runner import JobRunner
from workers.tasks.deletion import CollectTask, Deleter
from workers.tasks.embed import EmbedTask
from workers.tasks.ingest import IngestTask
from workers.upkeep.leftovers import UnusedContentCleaner
from workers.upkeep.upkeep import sweep_jobs

_TENANT = "ann"
_REAL_TIME = time.time
_LEASE_SECONDS = 30.0
_CONTENTS = tuple(f"# Log {n}\n\n" + f"The {n}th day at sea, and no land. " * (4 + 60 * n) for n in range(2))
_ACTORS = 5
_HEALING_ROUNDS = 400
# So many runs are drawn from one seed: the drawing remembers all it drew, and a failing run is found again sooner.
_RUNS_OF_A_SEED = 500
# How far an actor gets before another has its turn: a point or two, or to its end.
_STEPS = st.sampled_from((0, 1, 2, 3, 100))


class Simulation:
    """One world: its clock, its rings, and the actors that are under way."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_000_000.0
        self.rings: list[JobKind] = []
        self.actors: list[greenlet] = []
        self.dead: list[greenlet] = []
        self.crashes = 0
        self.acknowledged: dict[str, int] = {}
        self.deleting: set[str] = set()
        self.deleted: set[str] = set()
        self.engine = open_database(build_sqlite_url(folder / "catalog.sqlite"))
        self.catalog = Catalog(self.engine)
        self.jobs = Jobs(self.engine, lease_seconds=_LEASE_SECONDS)
        self.index = MemoryIndex()
        blobs = DirectoryBlobs(folder / "blobs")
        self.texts = Texts(blobs, ContentDigests(self.engine))
        self.blobs = blobs
        self._record = tied(self.engine, blobs)
        self.intake = Intake(self.catalog, blobs, Batches(self.engine), max_bytes=1_000_000)
        self._generations = FixedGeneration(self.index, HashingEmbedder(16), _WordCounts())
        redaction = Redaction(self.engine)
        self._deps = WorkerDeps(
            self.catalog, self.jobs, redaction, blobs, self.texts, self._generations, self._generations.made.sparse
        )
        self._deleter = Deleter(self.catalog, redaction, self._generations, self.texts, blobs)
        time.time = self._clock  # leases and pauses go by this world's clock
        set_fault_point_hook(self._stand)

    def upload(self, content: int) -> None:
        with self.intake.receive_upload(UploadRequest(_TENANT, "default", f"{content}.md")) as upload:
            upload.write(_CONTENTS[content].encode())
            document = upload.accept().document
        self.rings.append(JobKind.INGEST)
        reach_fault_point("upload.answering")
        self.acknowledged[document.id] = content

    def delete(self, document: str) -> None:
        self.deleting.add(document)
        self._deleter.delete_document(_TENANT, document)
        self.rings.append(JobKind.COLLECT)
        self.deleted.add(document)

    def look(self, kind: JobKind) -> None:
        """A worker answers one ring."""
        runner = JobRunner(
            self.jobs,
            IngestTask(self._deps, _Markdown(), batch_chunks=2),
            EmbedTask(self._deps, batch_chunks=4),
            CollectTask(self._deps),
            should_stop=lambda: False,
        )
        if runner.run_once(kind) and kind is JobKind.INGEST:
            self.rings.append(JobKind.EMBED)

    def sweep(self) -> None:
        unanswered = {kind: self.rings.count(kind) for kind in JobKind}
        sweep_jobs(self.jobs, unanswered_counts=unanswered, notify=lambda kind, _: self.rings.append(kind))

    def begin(self, work: Callable[[], None]) -> None:
        """A new actor, at its first fault point or already at its end."""
        actor = greenlet(work)
        self.actors.append(actor)
        self.step(actor)

    def step(self, actor: greenlet) -> None:
        actor.switch()
        if actor.dead:
            self.actors.remove(actor)

    def crash(self, actor: greenlet) -> None:
        self.actors.remove(actor)
        self.dead.append(actor)
        self.crashes += 1

    def heal(self) -> None:
        """No more faults: everybody goes on, time passes, and the sweep comes by until no work is left."""
        for _ in range(_HEALING_ROUNDS):
            while self.actors:
                self.step(self.actors[0])
            if not self.jobs.count_unfinished_jobs():
                rounds = UnusedContentCleaner(
                    self._record, UnusedContent(self.engine), self._generations, self.blobs, self.texts, UpkeepLimits()
                )
                assert not rounds.clean_up().stopped
                return
            self.now += _LEASE_SECONDS + 1
            self.take_over()
        raise AssertionError(f"work is left after {_HEALING_ROUNDS} rounds: {self.jobs.count_unfinished_jobs()}")

    def take_over(self) -> None:
        """A sweep, and healthy workers that answer every ring, while all other actors stand still."""
        _run(self.sweep)
        while self.rings:
            kind = self.rings.pop()
            _run(lambda kind=kind: self.look(kind))  # type: ignore[misc]

    def check_now(self) -> None:
        """What must hold at every moment, whatever is under way."""
        for document in self.catalog.list_documents(_TENANT, limit=500):
            version = document.version
            assert document.id not in self.deleted, f"{document.id} was deleted and is in the catalog"
            if version.state in SEARCHABLE_STATES:
                present = self.index.count_chunks(_TENANT, version.id)
                assert present == version.chunks, f"{version.state} with {present} of {version.chunks} chunks"
            if version.state is VersionState.READY:
                embedded = self.index.count_chunks(_TENANT, version.id, embedded_only=True)
                assert embedded == version.chunks, f"ready with {embedded} of {version.chunks} vectors"

    def check_end(self) -> None:
        """What must hold when no work is left."""
        self.check_now()
        live, ready = set[str](), set[str]()
        contents: list[str] = []
        for document in self.catalog.list_documents(_TENANT, limit=500):
            version = document.version
            contents.append(version.content_sha256)
            if version.state is VersionState.FAILED:
                assert self.crashes >= 3, f"{document.id} failed: {version.failure}"
                continue
            assert version.state is VersionState.READY, f"{document.id} stays {version.state}"
            ready.add(version.id)
            text = self.texts.read(version.id)
            live |= {derive_chunk_id(version.id, c.start, c.end) for c in chunk_text(text, build_markdown_layout(text))}
        assert len(contents) == len(set(contents)), "two documents have the same content"
        for document_id in self.acknowledged.keys() - self.deleting:
            self.catalog.load_document(_TENANT, document_id)  # raises when it was lost
        orphans = {c.version_id for c in self.index.kept.values() if c.id not in live} - self._failed()
        assert not orphans, f"points of no live document: {orphans}"
        assert live <= set(self.index.kept), "chunks are missing"
        with read_transaction(self.engine) as connection:
            cards = set(connection.execute(select(card_rows.c.version_id)).scalars())
        assert cards - self._failed() == ready, "cards are missing, or belong to no document"

    def close(self) -> None:
        set_fault_point_hook(None)
        time.time = _REAL_TIME
        for actor in (*self.dead, *self.actors):
            if not actor.dead:
                actor.throw(GreenletExit)
        self.engine.dispose()

    def _failed(self) -> set[str]:
        documents = self.catalog.list_documents(_TENANT, DocumentFilter(states=[VersionState.FAILED]), limit=500)
        return {document.version.id for document in documents}

    def _clock(self) -> float:
        return self.now

    def _stand(self, point: str) -> None:
        here = getcurrent()
        if here.parent is not None:
            here.parent.switch(point)


def _run(work: Callable[[], None]) -> None:
    actor = greenlet(work)
    while not actor.dead:
        actor.switch()


@contextmanager
def without_fence() -> Iterator[None]:
    """Plant a bug for the block: whoever has had a job may commit for it, though another worker has it now."""

    def update_anyhow(connection: Connection, job: Job, **values: Any) -> int:  # noqa: ANN401 - columns of `jobs`
        connection.execute(update(job_rows).where(job_rows.c.id == job.id).values(**values))
        return 0

    with patch.object(jobs_module, "_update_job_if_held", update_anyhow):
        yield


class _Markdown:
    def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
        return parse_markdown(path)


class _WordCounts(SparseEncoder):
    """BM25's place is taken by something quick: what matters here is which points there are."""

    fingerprint = "words"

    def find_compatible_encoder(self, fingerprint: str) -> SparseEncoder:
        return self

    def encode_document(self, text: str, *, context: str = "", language: Language = Language.ENGLISH) -> SparseVector:
        return SparseVector((len(text),), (1.0,))

    def encode_query(self, text: str) -> SparseVector:
        return SparseVector((len(text),), (1.0,))

    def count_text_terms(self, text: str, *, language: Language = Language.ENGLISH) -> dict[int, float]:
        return {len(text): 1.0}

    def count_context_terms(self, context: str, *, language: Language = Language.ENGLISH) -> dict[int, float]:
        return {len(context): 1.0}

    def saturate(self, frequency: float) -> float:
        return frequency


class Machine(RuleBasedStateMachine):
    """Each run is a simulation on a copy of an empty catalog."""

    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(dir=self.template.parent))
        shutil.copy(self.template, self._folder / "catalog.sqlite")
        self.world = Simulation(self._folder)

    @precondition(lambda self: len(self.world.actors) < _ACTORS)
    @rule(content=st.integers(0, len(_CONTENTS) - 1), steps=_STEPS)
    def upload(self, content: int, steps: int) -> None:
        self.world.begin(lambda: self.world.upload(content))
        self._go_on(self.world.actors[-1:], steps)

    @precondition(lambda self: self.world.acknowledged and len(self.world.actors) < _ACTORS)
    @rule(which=st.integers(0, 9))
    def delete(self, which: int) -> None:
        document = sorted(self.world.acknowledged)[which % len(self.world.acknowledged)]
        self.world.begin(lambda: self._delete(document))

    @precondition(lambda self: self.world.rings and len(self.world.actors) < _ACTORS)
    @rule(which=st.integers(0, 9), again=st.booleans(), steps=_STEPS)
    def deliver(self, which: int, again: bool, steps: int) -> None:
        at = which % len(self.world.rings)
        kind = self.world.rings[at] if again else self.world.rings.pop(at)
        self.world.begin(lambda: self.world.look(kind))
        self._go_on(self.world.actors[-1:], steps)

    @precondition(lambda self: self.world.rings)
    @rule()
    def lose_all_rings(self) -> None:
        self.world.rings.clear()

    @precondition(lambda self: self.world.actors)
    @rule(which=st.integers(0, _ACTORS - 1), steps=_STEPS)
    def go_on(self, which: int, steps: int) -> None:
        at = which % len(self.world.actors)
        self._go_on(self.world.actors[at : at + 1], 1 + steps)

    @precondition(lambda self: self.world.actors)
    @rule(which=st.integers(0, _ACTORS - 1))
    def crash(self, which: int) -> None:
        self.world.crash(self.world.actors[which % len(self.world.actors)])

    @precondition(lambda self: self.world.actors)
    @rule(seconds=st.sampled_from((1.0, 12.0)))
    def wait(self, seconds: float) -> None:
        self.world.now += seconds

    @precondition(lambda self: self.world.actors)
    @rule()
    def others_take_over(self) -> None:
        """Everybody here stands still for longer than a lease, and healthy workers elsewhere do all the work."""
        self.world.now += _LEASE_SECONDS + 1
        self.world.take_over()

    @precondition(lambda self: self.world.acknowledged and len(self.world.actors) < _ACTORS)
    @rule(steps=_STEPS)
    def sweep(self, steps: int) -> None:
        self.world.begin(self.world.sweep)
        self._go_on(self.world.actors[-1:], steps)

    @invariant()
    def holds(self) -> None:
        self.world.check_now()

    def teardown(self) -> None:
        try:
            self.world.heal()
            self.world.check_end()
        finally:
            self.world.close()
            shutil.rmtree(self._folder)

    def _go_on(self, actors: list[greenlet], steps: int) -> None:
        for actor in actors:
            for _ in range(steps):
                if not actor.dead:
                    self.world.step(actor)

    def _delete(self, document: str) -> None:
        try:
            self.world.delete(document)
        except DocumentNotFoundError:
            self.world.deleted.add(document)


def simulate(runs: int, *, first_seed: int, steps: int = 40, shrink: bool = True) -> None:
    """Raises the first violation, with the steps that lead to it, shrunk."""
    with _template() as template, _own_clock_only_inside():
        run_state_machine_as_test(
            seed(first_seed)(type("Machine", (Machine,), {"template": template})),
            settings=settings(
                max_examples=runs,
                stateful_step_count=steps,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
                report_multiple_bugs=False,
            ),
        )


@contextmanager
def _own_clock_only_inside() -> Iterator[None]:
    """Whatever becomes of the worlds, the process has its real time again afterwards, and no fault point is armed."""
    try:
        yield
    finally:
        set_fault_point_hook(None)
        time.time = _REAL_TIME


@contextmanager
def _template() -> Iterator[Path]:
    """An empty catalog, in memory where the system has a folder for that."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        path = Path(folder) / "empty.sqlite"
        engine = open_database(build_sqlite_url(path))
        Catalog(engine).ensure_tenant(_TENANT)
        engine.dispose()
        yield path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1, help=f"of {_RUNS_OF_A_SEED} runs, then the next")
    parser.add_argument("--without", choices=["fence"], help="plant a bug: the simulation must find it")
    chosen = parser.parse_args()
    begun = time.monotonic()
    for done in range(0, chosen.runs, _RUNS_OF_A_SEED):
        runs, of_seed = min(_RUNS_OF_A_SEED, chosen.runs - done), chosen.seed + done // _RUNS_OF_A_SEED
        try:
            with without_fence() if chosen.without == "fence" else nullcontext():
                simulate(runs, first_seed=of_seed)
        except AssertionError as error:
            print(f"violation: {error}", *getattr(error, "__notes__", ()), sep="\n")
            print(f"again: --runs {runs} --seed {of_seed}")
            return 1
        print(f"{done + runs} of {chosen.runs} runs, {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print(f"{chosen.runs} runs from seed {chosen.seed}: 0 violations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
