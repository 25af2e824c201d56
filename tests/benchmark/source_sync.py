"""A source that changes while `leadline up` synchronizes it and is killed again and again.

While the first sync runs, a tenth of the files changes, a fortieth is renamed, and as many are removed. At the end, the
library must equal the source, and each kill may cost one item that is read twice.

python -m tests.benchmark.source_sync                               # 2,000 files in a folder, 10 kills
python -m tests.benchmark.source_sync --files 200 --kills 3
python -m tests.benchmark.source_sync --source s3                   # a bucket on moto's server
"""

import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

import httpx
import obstore
import typer
from obstore.store import S3Store

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_catalog
from api.client import Client
from api.sources.schemas import SyncOut
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import Document, VersionState
from tests.benchmark.figures import AsJson, print_figures
from tests.support.cluster import wait_until
from tests.support.ports import free_port
from tests.support.s3_server import s3_server

app = typer.Typer(help=__doc__)

_SERVICE = (
    "import sys; from pathlib import Path; from tests.support.noted_sources import note_reads; "
    "note_reads(Path(sys.argv.pop(1))); from api.cli.main import main; main()"
)
_PATIENCE_SECONDS = 1_800.0


class Place(Protocol):
    """Where the files of a source are. Names are paths relative to it."""

    kind: str
    options: dict[str, Any]
    settings: dict[str, str]

    def write(self, name: str, content: bytes) -> None: ...

    def remove(self, name: str) -> None: ...


class Folder:
    """A folder of this machine."""

    kind = "folder"

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self._path = path
        self.options = {"path": str(path)}
        self.settings = {"LEADLINE_SOURCE_FOLDERS": str(path)}

    def write(self, name: str, content: bytes) -> None:
        path = self._path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)

    def remove(self, name: str) -> None:
        (self._path / name).unlink()


class Bucket:
    """A bucket of a server on loopback, which outlives the service."""

    kind = "s3"

    def __init__(self, url: str) -> None:
        keys = {"access_key_id": "testing", "secret_access_key": "testing"}
        self.options = {"bucket": "files", "region": "us-east-1", "endpoint": url, **keys}
        self.settings = {"LEADLINE_SOURCE_ENDPOINTS": url}
        httpx.put(f"{url}/files").raise_for_status()
        self._store = S3Store(
            "files",
            endpoint=url,
            region="us-east-1",
            access_key_id="testing",
            secret_access_key="testing",
            client_options={"allow_http": True},
        )

    def write(self, name: str, content: bytes) -> None:
        obstore.put(self._store, name, content)

    def remove(self, name: str) -> None:
        obstore.delete(self._store, name)


@contextmanager
def _open_place(kind: str, home: Path) -> Iterator[Place]:
    """Open an empty place. Another kind is a class with the same methods, and a server that is started here."""
    if kind == Folder.kind:
        yield Folder(home / "files")
    elif kind == Bucket.kind:
        with s3_server() as url:
            yield Bucket(url)
    else:
        raise typer.BadParameter(f"There is no place for sources of the kind {kind!r}: folder or s3.")


class _Files:
    """The files in a place, and their contents."""

    def __init__(self, place: Place, count: int) -> None:
        self._place = place
        self._random = random.Random(0)
        self._made = 0
        self.contents: dict[str, bytes] = {}
        for number in range(count):
            self._put(f"{number // 100:02}/note {number:05}.txt")

    def change(self, changed: int, renamed: int, removed: int) -> None:
        """Change, rename and remove some files, which are drawn at random."""
        chosen = self._random.sample(sorted(self.contents), changed + renamed + removed)
        for name in chosen[:changed]:
            self._put(name)
        for name in chosen[changed : changed + renamed]:
            content = self._drop(name)
            self._put(f"{name.partition('/')[0]}/renamed {self._made}.txt", content)
        for name in chosen[changed + renamed :]:
            self._drop(name)

    def _put(self, name: str, content: bytes | None = None) -> None:
        self._made += 1
        self.contents[name] = content or f"Entry {self._made} of the ledger: the ship called at the harbour.\n".encode()
        self._place.write(name, self.contents[name])

    def _drop(self, name: str) -> bytes:
        self._place.remove(name)
        return self.contents.pop(name)


class _Service:
    """`leadline up` on a data folder, in a process that notes what it reads."""

    def __init__(self, home: Path, settings: dict[str, str]) -> None:
        self.home, self.notes = home / "data", home / "notes"
        self._port = free_port()
        own = {"LEADLINE_HOME": str(self.home), "LEADLINE_PORT": str(self._port), "LEADLINE_LLM": "none"}
        self._environment = {**os.environ, **own, **settings}
        with open_catalog(self.home) as catalog:
            _, key = catalog.keys.issue_key(DEFAULT_TENANT, "a benchmark")
        self.client = Client(f"http://127.0.0.1:{self._port}", key)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            command = [sys.executable, "-c", _SERVICE, str(self.notes), "up"]
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        wait_until(self._answers, what="the service answers", seconds=_PATIENCE_SECONDS)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"The service ended: {self.home / 'log'}"
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/health/live", timeout=5).status_code == 200
        except httpx.TransportError:  # It does not listen yet.
            return False


@app.command()
def synchronize(
    files: Annotated[int, typer.Option(help="How many files.", min=100)] = 2_000,
    kills: Annotated[int, typer.Option(help="How often the process is killed during the first sync.", min=1)] = 10,
    source: Annotated[str, typer.Option(help="The kind of source.")] = Folder.kind,
    as_json: AsJson = False,
) -> None:
    """Print how long it takes, what was read, and whether the library equals the source. Fails if it does not."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leadline-bench-")))
        place = stack.enter_context(_open_place(source, home))
        held = _Files(place, files)
        service = _Service(home, place.settings)
        stack.callback(service.kill)
        service.start()
        begun = time.monotonic()
        made = service.client.create_source("Files", place.kind, place.options, interval_seconds=0)
        for number in range(kills):
            goal = (number + 1) * files // (kills + 1)
            _wait_for_sync(service.client, made.id, partial(_has_added, goal))
            share = [(number + 1) * each // kills - number * each // kills for each in (files // 10, files // 40)]
            held.change(share[0], share[1], share[1])
            service.kill()
            service.start()
        first = _wait_for_sync(service.client, made.id, _has_ended)
        first_seconds, first_reads = time.monotonic() - begun, _take_notes(service.notes)
        begun = time.monotonic()
        service.client.sync_source(made.id)
        second = _wait_for_sync(service.client, made.id, _has_ended)
        second_seconds, second_reads = time.monotonic() - begun, _take_notes(service.notes)
        wait_until(lambda: _is_idle(service.client), what="all are ready", seconds=_PATIENCE_SECONDS)
        service.kill()
        with open_catalog(service.home) as catalog:
            wrong = _compare(_list_documents(catalog.catalog), held.contents)
    twice = first_reads.total() - len(first_reads)
    print_figures(
        {
            "files": files,
            "kills": kills,
            "first sync, s": round(first_seconds, 1),
            "first sync": f"{first.state}: {first.counts.model_dump()}",
            "items read in it": first_reads.total(),
            "items read twice in it": twice,
            "second sync, s": round(second_seconds, 1),
            "second sync": f"{second.state}: {second.counts.model_dump()}",
            "items read in the second": second_reads.total(),
            "files at the end": len(held.contents),
            "differences between library and source": len(wrong),
        },
        as_json,
    )
    if wrong or twice > kills or second_reads.total() > len(second_reads):
        typer.echo("\n".join(wrong[:20]), err=True)
        raise typer.Exit(1)


def _wait_for_sync(client: Client, source_id: str, is_reached: Callable[[SyncOut], bool]) -> SyncOut:
    def load() -> SyncOut:
        sync = client.source(source_id).last_sync
        assert sync is not None
        return sync

    wait_until(lambda: is_reached(load()) or _has_ended(load()), what="progress", seconds=_PATIENCE_SECONDS)
    return load()


def _has_added(count: int, sync: SyncOut) -> bool:
    return sync.counts.added >= count


def _has_ended(sync: SyncOut) -> bool:
    return sync.ended_at is not None


def _is_idle(client: Client) -> bool:
    counts = client.http.get("/v1/status").raise_for_status().json()["documents"]
    return bool(sum(counts.values()) == counts.get("ready"))


def _take_notes(notes: Path) -> Counter[str]:
    found = Counter(notes.read_text().splitlines())
    notes.unlink()
    return found


def _list_documents(catalog: Catalog) -> list[Document]:
    found: list[Document] = []
    while page := catalog.list_documents(
        DEFAULT_TENANT, DocumentFilter(), after=found[-1].sequence if found else 0, limit=500
    ):
        found += page
    return found


def _compare(documents: list[Document], contents: dict[str, bytes]) -> list[str]:
    """Return each difference between the documents and the files, as a line."""
    wanted = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    found = Counter(str(each.attributes.get("source_path")) for each in documents)
    wrong = [f"{name} has {found[name]} documents" for name in wanted if found[name] != 1]
    for each in documents:
        path = str(each.attributes.get("source_path"))
        if path not in wanted:
            wrong.append(f"{path} is a document, and no file")
        elif wanted[path] != each.version.content_sha256 or each.active_version_id != each.version.id:
            wrong.append(f"{path} has other content")
        elif each.version.state is not VersionState.READY or each.name != path.rpartition("/")[2]:
            wrong.append(f"{path} is {each.version.state}, under the name {each.name}")
    return wrong


if __name__ == "__main__":
    app()
