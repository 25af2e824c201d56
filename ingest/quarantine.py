"""Files that no catalog explains are put aside for some days before they go.

They lie in the blob folder under `quarantine/DAY/KEY`, so that the day says since when, and each day's `manifest.jsonl`
lists them. A file that the catalog names again, because a newer one was put back, returns to its place.
"""

import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.blobs import DirectoryBlobs, fsync_path

_FOLDER = "quarantine"
_MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class UpkeepLimits:
    """How long what nobody explains is kept, and the share of everything above which a round touches nothing."""

    quarantine_days: float = 7.0
    share: float = 0.05


class UpkeepSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    quarantine_days: float = Field(
        7.0, ge=0, description="Days for which files and chunks that the catalog does not know are kept aside."
    )
    upkeep_share: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Upkeep touches nothing while more than this share of files or chunks is unknown to the catalog.",
    )

    @property
    def upkeep_limits(self) -> UpkeepLimits:
        return UpkeepLimits(self.quarantine_days, self.upkeep_share)


class Quarantine:
    """The files put aside in a blob folder. Two processes may use it at once."""

    def __init__(self, blobs: DirectoryBlobs) -> None:
        self._blobs = blobs
        self._folder = blobs.path(_FOLDER)

    def since(self) -> dict[str, date]:
        """Return the keys that are aside, each with the day since when."""
        return {
            path.relative_to(folder).as_posix(): day
            for day, folder in self._days()
            for path in folder.rglob("*")
            if path.is_file() and path.name != _MANIFEST
        }

    def put_aside(self, keys: Collection[str]) -> int:
        """Move files out of their places, listed before they are moved; return how many were there."""
        if not keys:
            return 0
        now = datetime.now(UTC)
        folder = self._folder / now.date().isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / _MANIFEST).open("a") as manifest:
            for key in sorted(keys):
                print(json.dumps({"key": key, "at": now.isoformat(timespec="seconds")}), file=manifest)
        fsync_path(folder / _MANIFEST)
        return sum(_move(self._blobs.path(key), folder / key) for key in keys)

    def put_back(self, keys: Collection[str]) -> int:
        """Return files to their places; return how many were there. A file that is in its place by now is kept."""
        moved = 0
        for key, day in self.since().items():
            if key in keys and not self._blobs.path(key).exists():
                moved += _move(self._folder / day.isoformat() / key, self._blobs.path(key))
        return moved

    def expire(self, *, older_than_days: float) -> int:
        """Remove what was put aside longer ago; return how many files."""
        last = (datetime.now(UTC) - timedelta(days=older_than_days)).date()
        removed = 0
        for day, folder in self._days():
            if day < last or not older_than_days:
                removed += sum(path.is_file() and path.name != _MANIFEST for path in folder.rglob("*"))
                shutil.rmtree(folder, ignore_errors=True)
        return removed

    def _days(self) -> Iterator[tuple[date, Path]]:
        with suppress(FileNotFoundError):
            for folder in sorted(self._folder.iterdir()):
                with suppress(ValueError):
                    yield date.fromisoformat(folder.name), folder


def _move(source: Path, target: Path) -> bool:
    """Move a file durably; false if it is gone, as when another process has moved it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(target)
    except FileNotFoundError:
        return False
    fsync_path(target.parent)
    return True
