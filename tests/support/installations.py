"""The installation that tests of workers and indexes share."""

from sqlalchemy import Engine

from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.operations.installation import Installation, bind_installation
from ingest.storage.operations.installation_record import InstallationRecord

OURS = Installation("11111111-1111-4111-8111-111111111111", lambda _: True)


def tied(engine: Engine, blobs: DirectoryBlobs) -> InstallationRecord:
    """The record of a catalog that belongs to `OURS`, with its blobs."""
    record = InstallationRecord(engine)
    record.claim_id(OURS.id)
    bind_installation(record, blobs)
    return record
