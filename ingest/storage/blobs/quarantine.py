"""Quarantine for files that are not in the catalog.

Files stay in quarantine for a few days before they are deleted. They are stored under `quarantine/DAY/KEY`, where DAY
is the day of the move, and listed in that day's manifests. If a newer catalog that contains a file is restored, the
file is moved back.
"""

import json
import secrets
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.storage.blobs.store import BlobStore
from ingest.storage.errors import ContentChangedError

_QUARANTINE_FOLDER = "quarantine"
_MANIFEST_NAME = "manifest"


@dataclass(frozen=True)
class UpkeepLimits:
    """The number of days in quarantine, and the fraction of unknown files above which cleanup removes nothing.

    A large fraction of unknown files suggests that the catalog is the wrong one, for example from an old backup.
    """

    quarantine_days: float = 7.0
    share: float = 0.05


class UpkeepSettings(BaseSettings):
    """Settings from environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    quarantine_days: float = Field(
        7.0, ge=0, description="Number of days that files and chunks missing from the catalog stay in quarantine."
    )
    upkeep_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="The maintenance job removes nothing if more than this fraction of the files or chunks are missing "
        "from the catalog.",
    )

    @property
    def upkeep_limits(self) -> UpkeepLimits:
        return UpkeepLimits(self.quarantine_days, self.upkeep_share)


class Quarantine:
    """The quarantined files of a store. Several processes may use it concurrently."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def load_quarantine_dates(self) -> dict[str, date]:
        """Return the day on which each quarantined file was moved, keyed by the file's key."""
        return {key: day for day, key in self._iter_quarantined_files() if not _is_manifest_key(key)}

    def quarantine_files(self, keys: Collection[str]) -> int:
        """List the files in a manifest, move them to quarantine, and return how many existed."""
        if not keys:
            return 0
        now = datetime.now(UTC)
        folder = f"{_QUARANTINE_FOLDER}/{now.date().isoformat()}"
        lines = (json.dumps({"key": key, "at": now.isoformat(timespec="seconds")}) for key in sorted(keys))
        self._blobs.put(
            f"{folder}/{_MANIFEST_NAME}-{secrets.token_hex(4)}.jsonl", "".join(f"{x}\n" for x in lines).encode()
        )
        return sum(self._blobs.move(key, f"{folder}/{key}") for key in keys)

    def restore_files(self, keys: Collection[str]) -> int:
        """Move files back from quarantine, unless they exist again, and return how many were moved."""
        moved = 0
        for key, day in self.load_quarantine_dates().items():
            if key in keys and not self._has_stored_file(key):
                moved += self._blobs.move(f"{_QUARANTINE_FOLDER}/{day.isoformat()}/{key}", key)
        return moved

    def delete_expired_files(self, *, min_age_days: float) -> int:
        """Delete files that were quarantined more than this many days ago, and return how many were deleted."""
        last = (datetime.now(UTC) - timedelta(days=min_age_days)).date()
        removed = 0
        for day, key in list(self._iter_quarantined_files()):
            if day < last or not min_age_days:
                self._blobs.delete(f"{_QUARANTINE_FOLDER}/{day.isoformat()}/{key}")
                removed += not _is_manifest_key(key)
        return removed

    def _has_stored_file(self, key: str) -> bool:
        try:
            return self._blobs.find_size(key) is not None
        except ContentChangedError:  # The file is damaged. The damage is reported when the file is read.
            return True

    def _iter_quarantined_files(self) -> Iterator[tuple[date, str]]:
        for path in self._blobs.iter_keys(_QUARANTINE_FOLDER):
            day, _, key = path.removeprefix(f"{_QUARANTINE_FOLDER}/").partition("/")
            with suppress(ValueError):
                yield date.fromisoformat(day), key


def _is_manifest_key(key: str) -> bool:
    return "/" not in key
