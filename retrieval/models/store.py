"""The folder of model files. Each file is checked against the manifest."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ingest.storage.blobs.store import fsync_path
from retrieval.errors import ModelFileError, ModelHashError, ModelMissingError
from retrieval.models.manifest import ModelFile, load_model_files


class ModelFileState(StrEnum):
    """The state of a model file in the folder."""

    VERIFIED = "verified"
    MISSING = "missing"
    WRONG_SIZE = "wrong size"
    WRONG_HASH = "wrong hash"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class ModelFileCheck:
    """The result of checking a file. `detail` describes the problem, and is empty for a verified file."""

    file: ModelFile
    state: ModelFileState
    detail: str = ""


class ModelStore:
    """The model files in a folder, which need not exist yet.

    A file is hashed only once. `<name>.verified` next to it records its size, modification time and hash, and is valid
    while all three match. This saves time, but does not protect against attackers who can write to the folder.
    `verify(full=True)` reads every byte.
    """

    def __init__(self, directory: Path, files: Sequence[ModelFile] | None = None) -> None:
        self.directory = directory
        self.files = load_model_files() if files is None else tuple(files)

    def require_verified_path(self, file: ModelFile, *, rehash: bool = False) -> Path:
        """Return the path of the verified file. With `rehash`, hash the file again.

        Raises `ModelMissingError` if the file is missing, `ModelHashError` if its hash is wrong, and `ModelFileError`
        if it cannot be read.
        """
        path = self.directory / file.name
        try:
            size = path.stat().st_size
            if size != file.size_bytes:
                raise ModelMissingError(f"{path} has {size:,} bytes, but the manifest specifies {file.size_bytes:,}.")
            if rehash or not self._has_valid_record(file):
                self._require_matching_hash(file, path)
                self._store_record(file)
        except FileNotFoundError as error:
            raise ModelMissingError(f"{file.name} is not in {self.directory}.") from error
        except OSError as error:
            raise ModelFileError(
                f"{path} cannot be read: {error.strerror}.", hint="Check the file's permissions."
            ) from error
        return path

    def list_missing_files(self) -> list[ModelFile]:
        """Return the files that are missing or invalid, in the manifest's order."""
        return [found.file for found in self.check_files() if found.state is not ModelFileState.VERIFIED]

    def check_files(self, *, rehash: bool = False) -> list[ModelFileCheck]:
        """Check every file. With `rehash`, hash every file again."""
        return [self.check_file(file, rehash=rehash) for file in self.files]

    def check_file(self, file: ModelFile, *, rehash: bool = False) -> ModelFileCheck:
        """Check one file. With `rehash`, hash it again."""
        try:
            self.require_verified_path(file, rehash=rehash)
        except ModelMissingError as error:
            state = ModelFileState.WRONG_SIZE if (self.directory / file.name).exists() else ModelFileState.MISSING
            return ModelFileCheck(file, state, error.detail)
        except ModelHashError as error:
            return ModelFileCheck(file, ModelFileState.WRONG_HASH, error.detail)
        except ModelFileError as error:
            return ModelFileCheck(file, ModelFileState.UNREADABLE, error.detail)
        return ModelFileCheck(file, ModelFileState.VERIFIED)

    def get_part_path(self, file: ModelFile) -> Path:
        """Return the path of the file's partial download."""
        return self.directory / f"{file.name}.part"

    def install_download(self, file: ModelFile) -> Path:
        """Verify the download and move it into place, atomically and durably.

        If the download's hash does not match the manifest, deletes the download and raises `ModelHashError`.
        """
        part, path = self.get_part_path(file), self.directory / file.name
        try:
            self._require_matching_hash(file, part)
        except ModelHashError:
            part.unlink()
            raise
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)
        fsync_path(self.directory)
        self._store_record(file)
        return path

    def _require_matching_hash(self, file: ModelFile, path: Path) -> None:
        with path.open("rb") as opened:
            got = hashlib.file_digest(opened, "sha256").hexdigest()
        if got != file.sha256:
            raise ModelHashError(file.name, expected_hash=file.sha256, actual_hash=got)

    def _has_valid_record(self, file: ModelFile) -> bool:
        try:
            record = json.loads(self._get_record_path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return bool(record == self._build_record(file))

    def _store_record(self, file: ModelFile) -> None:
        # If the folder is read-only, the record cannot be written, so the file is hashed again at every start.
        with suppress(OSError):
            self._get_record_path(file).write_text(json.dumps(self._build_record(file)), encoding="utf-8")

    def _build_record(self, file: ModelFile) -> dict[str, int | str]:
        stat = (self.directory / file.name).stat()
        return {"size_bytes": stat.st_size, "modified_ns": stat.st_mtime_ns, "sha256": file.sha256}

    def _get_record_path(self, file: ModelFile) -> Path:
        return self.directory / f"{file.name}.verified"


def get_default_models_directory() -> Path:
    """Return `$XDG_CACHE_HOME/leadline/models`, or `~/.cache/leadline/models` if XDG_CACHE_HOME is unset or relative.

    Source: XDG Base Directory Specification 0.8. Raises `ModelFileError` if the user has no home folder.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        try:
            cache = Path.home() / ".cache"
        except RuntimeError as error:
            raise ModelFileError(
                "Model files cannot be stored, because this user has no home folder.",
                hint="Set LEADLINE_MODELS to a folder.",
            ) from error
    return cache / "leadline" / "models"
