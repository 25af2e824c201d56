"""Opens the configured blob store. The store is sealed if keys are configured."""

from pathlib import Path

from ingest.storage.blobs.store import BlobSettings, BlobStore, DirectoryBlobs
from ingest.storage.errors import BlobKeyError, BlobStoreRejectedError
from ingest.storage.sealing import SEALED_MARKER, InMemorySealRecord, SealRecord


def open_blobs(
    settings: BlobSettings, home: Path, record: SealRecord | None, *, min_free_bytes: int = 0, is_serving: bool = False
) -> BlobStore:
    """Open the blob store of an installation whose folders are in `home`.

    A process that serves requests or runs jobs sets `is_serving`: texts in a bucket are then copied to the local disk,
    and reads end soon if the bucket hangs. Maintenance reads the stored files themselves, and waits longer.

    `record` determines which sealed formats are read and written. Without a record, as in a read-only program, all
    formats are read and no marker is added to the store. Raises `BlobStoreError` if a key is missing or wrong, or if
    the bucket cannot be used.
    """
    blobs = _open_plain_store(settings, home, min_free_bytes, is_serving)
    if settings.blob_keys is None:
        require_unsealed_store(blobs)
        return blobs
    from ingest.storage.blobs.keyring import BadKeyError, KeyRing
    from ingest.storage.blobs.sealed import SealedBlobs

    try:
        ring = KeyRing.parse(settings.blob_keys.get_secret_value())
    except BadKeyError as error:
        raise BlobKeyError(
            "LEADLINE_BLOB_KEYS contains an invalid key.", hint="Generate keys with `leadline blobs key`."
        ) from error
    sealed = SealedBlobs(blobs, ring, record or InMemorySealRecord(), always_binds=settings.blob_binding)
    if record is not None:
        sealed.add_seal_marker()
    sealed.require_marker_key()
    return sealed


def require_unsealed_store(blobs: BlobStore) -> None:
    """Raise `BlobKeyError` if the store contains sealed files. Call this if no keys are configured."""
    # guard: sealed-store-needs-key
    if blobs.find_size(SEALED_MARKER) is not None:
        raise BlobKeyError(
            f"The files in {blobs.location} are sealed, but LEADLINE_BLOB_KEYS is not set.",
            hint="Set LEADLINE_BLOB_KEYS to the keys that sealed the files.",
        )


def _open_plain_store(settings: BlobSettings, home: Path, min_free_bytes: int, is_serving: bool) -> BlobStore:
    if settings.blobs == "folder":
        return DirectoryBlobs(home / "blobs", min_free_bytes=min_free_bytes)
    try:
        from ingest.storage.blobs.bucket import open_bucket
    except ImportError as error:
        raise BlobStoreRejectedError(
            f"LEADLINE_BLOBS={settings.blobs} requires a library that is not installed.",
            hint="Run: pip install './leadline[s3]'",
        ) from error
    return open_bucket(settings, home / "blobs-in-use", min_free_bytes=min_free_bytes, is_serving=is_serving)
