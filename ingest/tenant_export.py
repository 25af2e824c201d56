"""A tenant's data as one ZIP: originals, and the catalog's rows as JSON, a line each; a manifest says what is in it."""

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import IO, Any

FORMAT = 1

Rows = Callable[[], Iterable[Mapping[str, Any]]]


def write_export(
    file: IO[bytes], tenant_id: str, tables: Mapping[str, Rows], originals: Iterable[tuple[str, Iterator[bytes]]]
) -> dict[str, int]:
    """Write the ZIP in one pass, in bounded memory; returns how many rows of each table and originals it has.

    `originals` are the versions' ids with their bytes. One that is removed meanwhile is left out.
    """
    counts: dict[str, int] = {}
    digests: dict[str, str] = {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, rows in tables.items():
            counts[name], digests[f"{name}.jsonl"] = _write_rows(archive, f"{name}.jsonl", rows())
        counts["originals"] = sum(_copy(archive, f"originals/{version}", blocks) for version, blocks in originals)
        made_at = datetime.fromtimestamp(time.time(), UTC).isoformat()
        manifest = {"format": FORMAT, "tenant": tenant_id, "made_at": made_at, "counts": counts, "sha256": digests}
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


def _copy(archive: zipfile.ZipFile, name: str, blocks: Iterator[bytes]) -> bool:
    try:
        first = next(blocks, b"")
    except KeyError:
        return False
    with archive.open(name, "w", force_zip64=True) as out:
        out.write(first)
        for block in blocks:
            out.write(block)
    return True
