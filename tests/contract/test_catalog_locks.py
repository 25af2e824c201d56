"""Transactions of a catalog on PostgreSQL lock rows in one order, so that none waits for one that waits for it."""

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select, text, update

from ingest.storage.db.database import open_database, write_transaction
from ingest.storage.db.schema import jobs as job_rows
from ingest.storage.db.schema import versions
from ingest.storage.documents.catalog import Catalog
from ingest.storage.errors import DocumentNotFoundError
from ingest.storage.jobs.jobs import Jobs
from ingest.storage.queue.records import JobKind
from tests.support.catalogs import arrive
from tests.support.postgres import Postgres, disposed

pytestmark = pytest.mark.slow


@pytest.fixture
def engine(postgres: Postgres) -> Iterator[Engine]:
    with disposed(open_database(postgres.catalog_database())) as engine:
        Catalog(engine).ensure_tenant("ann")
        yield engine


def test_a_deletion_waits_for_the_job_of_a_worker_before_it_changes_the_version(engine: Engine) -> None:
    catalog = Catalog(engine)
    arrive(catalog)
    (job,) = Jobs(engine).claim(JobKind.INGEST)
    deletion = threading.Thread(target=catalog.delete_document, args=("ann", job.document_id))
    with write_transaction(engine) as worker:  # in the order of a worker that reports progress
        worker.execute(select(job_rows.c.id).where(job_rows.c.id == job.id).with_for_update())
        deletion.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        until = time.monotonic() + 120
        while not worker.execute(waiting).scalar_one() and time.monotonic() < until:
            time.sleep(0.01)
        worker.execute(update(versions).where(versions.c.id == job.version_id).values(chunks=1))
    deletion.join()
    with pytest.raises(DocumentNotFoundError):
        catalog.load_document("ann", job.document_id)
