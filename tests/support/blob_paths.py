"""Where a service that keeps its files in a folder has one."""

from pathlib import Path

from api.admission.services import Services
from ingest.storage.blobs.store import DirectoryBlobs


def blob_path(services: Services, key: str) -> Path:
    """Return the path of a blob, whether it is there or not."""
    assert isinstance(services.contents.blobs, DirectoryBlobs)
    return services.contents.blobs.resolve_path(key)
