"""SIGKILL in the middle of ingest: after a restart the index is the same as if nothing had happened."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.documents.catalog import Catalog
from retrieval.encoders.openvino_embedder import DIMENSION
from retrieval.index.edge.qdrant_edge_index import QdrantEdgeIndex
from tests.support.books import shelf
from tests.support.containers import message, zip_of

# On a busy machine one ingest was seen to take more than five minutes.
pytestmark = pytest.mark.timeout(3_600)
_PATIENCE_SECONDS = 900.0
KILLS = 4


def start(home: Path, books: Path) -> "subprocess.Popen[bytes]":
    command = "from api.cli.main import main; main()"
    environment = {**os.environ, "LEADLINE_HOME": str(home), "LEADLINE_LLM": "none"}
    return subprocess.Popen(
        [sys.executable, "-c", command, "ingest", str(books)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def finish(home: Path, books: Path) -> None:
    process = start(home, books)
    try:
        assert process.wait(_PATIENCE_SECONDS) == 0
    finally:
        process.kill()


def progress(home: Path) -> int:
    """Grows from the first accepted document to the last vector."""
    try:
        with closing(sqlite3.connect(f"file:{home / 'catalog.sqlite'}?mode=ro", uri=True)) as connection:
            query = "SELECT count(*) + coalesce(sum(chunks), 0) + coalesce(sum(chunks_embedded), 0) FROM versions"
            return int(connection.execute(query).fetchone()[0])
    except sqlite3.OperationalError:  # not there yet
        return 0


def kill_at(home: Path, books: Path, reached: Callable[[], bool]) -> None:
    process = start(home, books)
    while not reached():
        assert process.poll() is None, "the ingest ended before the moment chosen to kill it"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def contents(home: Path) -> dict[str, tuple[str, list[tuple[str, int, int]], int]]:
    """Every document's name, state, chunks with their spans, and how many of them have vectors."""
    engine = open_database(build_sqlite_url(home / "catalog.sqlite"))
    index = QdrantEdgeIndex(home / "index", dimension=DIMENSION)
    found = {}
    for document in Catalog(engine).list_documents("default", limit=500):
        version = document.version
        chunks = sorted((c.id, c.start, c.end) for c in index.iter_version_chunks("default", version.id))
        embedded = index.count_chunks("default", version.id, embedded_only=True)
        assert (version.state, version.chunks, version.chunks_embedded) == ("ready", len(chunks), embedded)
        found[document.name] = (version.id, chunks, version.tokens or 0)
    index.close()
    engine.dispose()
    return found


def test_kills_in_mid_ingest_change_nothing(tmp_path: Path, encoder_files: Path) -> None:
    books = shelf(tmp_path / "books", 6, chapters=4)
    notes = {f"{number}.md": f"# Note {number}\n\n{'The flood comes at six. ' * 60}" for number in range(8)}
    inner = message(attachments={"plan.txt": b"Sail at noon."})
    (books / "papers.zip").write_bytes(zip_of({**notes, "inner.zip": zip_of(notes), "mail.eml": inner}))
    finish(tmp_path / "undisturbed", books)
    expected = contents(tmp_path / "undisturbed")
    total = progress(tmp_path / "undisturbed")

    home = tmp_path / "killed"
    # After a later moment than half, the rest may be done before this process gets its turn to kill.
    moments = sorted(random.Random(7).sample(range(1, total // 2), KILLS))
    for moment in moments:
        kill_at(home, books, lambda moment=moment: progress(home) >= moment)  # type: ignore[misc]
    finish(home, books)

    assert len(expected) == 6 + 1 + 10 + 8 + 1
    assert contents(home) == expected


def test_what_was_accepted_goes_on_without_being_sent_again(tmp_path: Path, encoder_files: Path) -> None:
    books = shelf(tmp_path / "books", 4, chapters=4)
    home = tmp_path / "home"
    kill_at(home, books, lambda: progress(home) >= 4)
    with closing(sqlite3.connect(home / "catalog.sqlite")) as connection:
        accepted = {name for (name,) in connection.execute("SELECT name FROM documents")}
    nothing_new = shelf(tmp_path / "other", 1, chapters=1)
    (nothing_new / "book-0.md").write_text("# Another\n\nOne line only.\n")
    finish(home, nothing_new)
    assert len(accepted) >= 4
    assert accepted <= set(contents(home))
