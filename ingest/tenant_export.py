"""A tenant's data as one ZIP: originals, and the catalog's rows as JSON, a line each; a manifest says what is in it."""

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import IO, Any

from ingest.storage.errors import ContentChangedError

FORMAT = 1

Rows = Callable[[], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class ExportedOriginal:
    """The bytes of a version or a file by its id, with the SHA-256 in hex of what was uploaded."""

    id: str
    blocks: Iterator[bytes]
    sha256: str


def write_export(
    file: IO[bytes], tenant_id: str, tables: Mapping[str, Rows], originals: Iterable["ExportedOriginal"]
) -> dict[str, int]:
    """Write the ZIP in one pass, in bounded memory; returns how many rows of each table and originals it has.

    An original that is removed meanwhile is left out. The manifest names those whose bytes are not what was uploaded.
    """
    counts: dict[str, int] = {}
    digests: dict[str, str] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, rows in tables.items():
            counts[name], digests[f"{name}.jsonl"] = _write_rows(archive, f"{name}.jsonl", rows())
        changed: list[str] = []
        counts["originals"] = sum(_copy(archive, each, changed) for each in originals)
        if changed:
            counts["originals_changed"] = len(changed)
        made_at = datetime.fromtimestamp(time.time(), UTC).isoformat()
        manifest = {"format": FORMAT, "tenant": tenant_id, "made_at": made_at, "counts": counts, "sha256": digests}
        manifest |= {"originals_changed": changed} if changed else {}
        archive.writestr("manifest.json", json.dumps(manifest, indent=2))
    return counts


def _write_rows(archive: zipfile.ZipFile, name: str, rows: Iterable[Mapping[str, Any]]) -> tuple[int, str]:
    count, digest = 0, hashlib.sha256()
    with archive.open(name, "w", force_zip64=True) as out:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            out.write(line)
            digest.update(line)
            count += 1
    return count, digest.hexdigest()


def _copy(archive: zipfile.ZipFile, original: ExportedOriginal, changed: list[str]) -> bool:
    """Copy an original, and add its id to `changed` if its bytes are not what was uploaded; false if it is gone."""
    digest = hashlib.sha256()
    try:
        first = next(original.blocks, b"")
    except KeyError:
        return False
    except ContentChangedError:  # a sealed file that cannot be opened
        changed.append(original.id)
        return False
    with archive.open(f"originals/{original.id}", "w", force_zip64=True) as out, suppress(ContentChangedError):
        for block in chain([first], original.blocks):
            digest.update(block)
            out.write(block)
    if digest.hexdigest() != original.sha256:
        changed.append(original.id)
    return True
