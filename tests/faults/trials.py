"""Trials of a whole cluster, each run by one command; the tests run them smaller.

python -m tests.faults.trials flush          the broker loses everything twenty times during a hundred uploads
python -m tests.faults.trials repeat         every message three times and shuffled, for two workers
python -m tests.faults.trials poison         twenty documents that kill, hang or exhaust their worker, among a hundred
python -m tests.faults.trials workers        two workers against one
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from redis import Redis

from api.cli.ingest import iter_files
from api.settings.settings import Settings
from ingest.storage.documents.records import Document, VersionState
from retrieval.index.bm25 import Bm25Encoder
from retrieval.index.port import SearchScope
from retrieval.models.store import ModelStore
from tests.benchmark.bare_encoder import bare_rates, sample_chunks
from tests.support.books import book
from tests.support.cluster import Cluster, running_cluster, wait_until
from tests.support.cluster_truth import Truth
from tests.support.poison import poison
from tests.support.postgres import running_postgres
from workers.enqueue.celery_app import QUEUE_NAMES

_TENANT = "default"


def flush(*, uploads: int, flushes: int, folder: Path) -> dict[str, Any]:
    """Documents uploaded while the broker is emptied again and again; all must be ready soon after the last time."""
    texts = _texts(uploads)
    with _cluster(folder) as cluster:
        accepted = {}
        every = max(1, uploads // flushes)
        for number, (name, text) in enumerate(texts.items(), start=1):
            accepted[name] = cluster.upload(text, name)
            if number % every == 0:
                cluster.valkey.flush()
        seconds = wait_until(cluster.settled, seconds=600, what="all work is done")
        return {
            "uploads": uploads,
            "flushes": uploads // every,
            "ready": _count(cluster, VersionState.READY),
            "seconds_after_last_flush": round(seconds, 1),
            "violations": Truth(cluster).violations(texts, accepted, ()),
        }


def repeat(*, uploads: int, times: int, folder: Path) -> dict[str, Any]:
    """The index after every message was delivered `times` times in a random order, against an undisturbed one."""
    texts = _texts(uploads)
    points: list[dict[str, Point]] = []
    repeated = 0
    for disturbed in (False, True):
        with _cluster(folder / str(disturbed), workers=1 + disturbed, start_workers=False) as cluster:
            accepted = {name: cluster.upload(text, name) for name, text in texts.items()}
            repeater = _Repeater(cluster.valkey.url, times) if disturbed else None
            if repeater is not None:
                repeater.once()
                repeater.start()
            for worker in cluster.workers:
                worker.start()
            wait_until(cluster.settled, seconds=300, what="all work is done")
            if repeater is not None:
                repeater.stop()
                repeated = repeater.copies
            points.append(_points(cluster))
            violations = Truth(cluster).violations(texts, accepted, ())
    return {
        "uploads": uploads,
        "copies_of_messages": repeated,
        "points": len(points[0]),
        "different_points": sum(
            points[0].get(key) != points[1].get(key) for key in points[0].keys() | points[1].keys()
        ),
        "violations": violations,
    }


def poisoned(*, good: int, bad: int, folder: Path) -> dict[str, Any]:
    """Poisoned documents among good ones: the good are ready, and the bad have failed with a reason."""
    texts = _texts(good)
    bad_texts = {f"poison-{n}.md": poison(n) for n in range(bad)}
    order = [*texts.items(), *bad_texts.items()]
    random.Random(1).shuffle(order)
    with _cluster(folder, workers=2) as cluster:
        accepted = {name: cluster.upload(text, name) for name, text in order}
        seconds = wait_until(cluster.settled, seconds=600, what="all work is done")
        documents = [cluster.catalog.load_document(_TENANT, accepted[name]) for name in bad_texts]
        attempts = {document.id: cluster.attempts(document.version.id) for document in documents}
        return {
            "good": good,
            "ready": _count(cluster, VersionState.READY),
            "failed": _count(cluster, VersionState.FAILED),
            "most_attempts": max(attempts.values()),
            "reasons": sorted({_reason(document) for document in documents}),
            "seconds": round(seconds, 1),
            "violations": Truth(cluster).violations(texts, {name: accepted[name] for name in texts}, ()),
        }


def workers(*, uploads: int, folder: Path) -> dict[str, Any]:
    """Documents a second of one worker and of two on the same documents, from the first searchable to the last ready.

    Once with an encoder that costs nothing, which is the speed of everything but embedding; and once with the real one,
    next to what the bare encoder takes for as many tokens.
    """
    texts = _texts(uploads)
    shelf = folder / "shelf"
    shelf.mkdir(parents=True)
    for name, text in texts.items():
        (shelf / name).write_text(text)
    models = ModelStore(Settings().models)
    sample = sample_chunks(iter_files([shelf]), 2_048)
    half = len(sample) // 2
    bare = bare_rates(models, sample[:half])
    free = {count: _worked(folder / f"free-{count}", texts, count) for count in (1, 2)}
    real = {count: _worked(folder / f"real-{count}", texts, count, encoder="minilm") for count in (1, 2)}
    bare += bare_rates(models, sample[half:])
    seconds, tokens = real[1]
    return {
        "uploads": uploads,
        "tokens": tokens,
        **{f"documents_per_second_{count}_free_encoder": round(uploads / free[count][0], 2) for count in free},
        **{f"documents_per_second_{count}": round(uploads / real[count][0], 2) for count in real},
        "ratio_free_encoder": round(free[1][0] / free[2][0], 2),
        "ratio": round(real[1][0] / real[2][0], 2),
        "bare_tokens_per_second": round(statistics.median(bare)),
        "share_outside_embedding": round(1 - tokens / statistics.median(bare) / seconds, 4),
    }


def _worked(folder: Path, texts: Mapping[str, str], workers: int, *, encoder: str | None = None) -> tuple[float, int]:
    """Seconds from the first searchable to the last ready, and all tokens that were embedded."""
    with _cluster(folder, workers=workers, start_workers=False, encoder=encoder) as cluster:
        for name, text in texts.items():
            cluster.upload(text, name)
        for worker in cluster.workers:
            worker.start()
        wait_until(cluster.settled, seconds=600, what="all work is done")
        versions = [document.version for document in cluster.catalog.list_documents(_TENANT, limit=len(texts))]
        first = min(version.searchable_at or 0.0 for version in versions)
        last = max(version.ready_at or 0.0 for version in versions)
        return last - first, sum(version.tokens or 0 for version in versions)


@dataclass(frozen=True)
class Point:
    """All of a point that a search can see."""

    payload: object
    vector: bytes
    bm25: tuple[float, ...]


class _Repeater:
    """Puts copies of every message into its queue, each in a random place, as soon as it appears."""

    def __init__(self, url: str, times: int) -> None:
        self._redis: Redis = Redis.from_url(url)
        self._times = times
        self._random = random.Random(3)
        self._seen: set[str] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.copies = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()
        self._redis.close()

    def once(self) -> None:
        for queue in QUEUE_NAMES:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.lrange(queue, 0, -1)
                pipeline.delete(queue)
                messages: list[bytes] = pipeline.execute()[0]
            for message in messages[:]:
                identifier = json.loads(message)["headers"]["id"]
                if identifier not in self._seen:
                    self._seen.add(identifier)
                    messages += [message] * (self._times - 1)
                    self.copies += self._times - 1
            self._random.shuffle(messages)
            if messages:
                self._redis.lpush(queue, *messages)

    def _run(self) -> None:
        while not self._ending.wait(0.05):
            self.once()


@contextmanager
def _cluster(
    folder: Path, *, workers: int = 1, start_workers: bool = True, encoder: str | None = None
) -> Iterator[Cluster]:
    # A real encoder has a cluster's usual patience: with that of the tests, its worker would be killed at each step.
    with (
        running_postgres() as postgres,
        running_cluster(
            folder,
            postgres.catalog_database(),
            workers=workers,
            start_workers=start_workers,
            persistent_valkey=False,
            encoder=encoder,
            lease_seconds=30.0 if encoder else 3.0,
            task_seconds=900.0 if encoder else 20.0,  # longer than a parser may take
        ) as cluster,
    ):
        yield cluster


def _texts(count: int) -> dict[str, str]:
    return {f"{n}.md": book(n, chapters=1 + n % 4, sentences=60) for n in range(count)}


def _count(cluster: Cluster, state: VersionState) -> int:
    total = cluster.catalog.compute_state_totals(_TENANT).get(state)
    return total.documents if total else 0


def _reason(document: Document) -> str:
    failure = document.version.failure
    return f"{document.version.state}: {failure.code if failure else 'no reason'}"


def _points(cluster: Cluster) -> dict[str, Point]:
    """Every point with its payload, its vector, and its BM25 score for each of some words."""
    scores: dict[str, list[float]] = {}
    for word in ("anchor", "captain", "whale", "harbour", "lantern"):
        by_bm25, _ = cluster.index.search(
            SearchScope(_TENANT), sparse_vector=Bm25Encoder().encode_query(word), dense_vector=None, limit=10_000
        )
        for hit in by_bm25:
            scores.setdefault(hit.id, []).append(round(hit.score, 5))
    found: dict[str, Point] = {}
    for version in cluster.index.count_chunks_by_version():
        chunks = list(cluster.index.iter_version_chunks(_TENANT, version))
        vectors = cluster.index.load_dense_vectors([chunk.id for chunk in chunks])
        for chunk in chunks:
            vector = vectors.get(chunk.id, np.zeros(0, np.float32))
            found[chunk.id] = Point(chunk, vector.tobytes(), tuple(scores.get(chunk.id, ())))
    return found


_TRIALS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "flush": lambda folder: flush(uploads=100, flushes=20, folder=folder),
    "repeat": lambda folder: repeat(uploads=30, times=3, folder=folder),
    "poison": lambda folder: poisoned(good=100, bad=20, folder=folder),
    "workers": lambda folder: workers(uploads=120, folder=folder),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trial", choices=list(_TRIALS))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = _TRIALS[chosen.trial](Path(folder))
    print(json.dumps(found, indent=2))
    return 1 if found.get("violations") else 0


if __name__ == "__main__":
    sys.exit(main())
